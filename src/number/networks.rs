//! Mobile networks by name: MCCMNC -> operator, and one spelling for the names that providers write.

/// The longest name that becomes a label.
const MAX_LENGTH: usize = 64;
/// Digits of one name; from seven on it could be somebody's number.
const MAX_DIGITS: usize = 6;
/// The longest word in capitals that reads as initials: SFR, TIM.
const INITIALS: usize = 3;

/// The operator of a network. `None` where the table does not know it.
pub fn operator(mccmnc: &str) -> Option<&'static str> {
    let place = OPERATORS.binary_search_by_key(&mccmnc, |&(code, _)| code).ok()?;
    Some(OPERATORS[place].1)
}

/// The name to show for a network: the one that the provider `reported`, else the operator of the table, else the code.
///
/// A reported name that is a shorter or longer form of the table's (`ORANGE`, `Orange F`) is written as the table has it, any other
/// in its usual case (`FREE CARAIBES` is `Free Caraibes`), so that all networks of an operator have the same name.
pub fn name(mccmnc: &str, reported: Option<&str>) -> String {
    known_name(Some(mccmnc), reported).unwrap_or_else(|| mccmnc.to_owned())
}

/// For people: `Orange (20801)`, or the one of the two that is known.
pub fn name_and_code(mccmnc: Option<&str>, reported: Option<&str>) -> Option<String> {
    match (known_name(mccmnc, reported), mccmnc) {
        (Some(name), Some(code)) => Some(format!("{name} ({code})")),
        (name, code) => name.or(code.map(str::to_owned)),
    }
}

fn known_name(mccmnc: Option<&str>, reported: Option<&str>) -> Option<String> {
    let operator = mccmnc.and_then(operator);
    let reported = reported.map(str::trim).filter(|name| is_presentable(name));
    match (reported, operator) {
        (Some(reported), Some(operator)) if is_form_of(reported, operator) => Some(operator.to_owned()),
        (Some(reported), _) => Some(in_usual_case(reported)),
        (None, operator) => operator.map(str::to_owned),
    }
}

fn is_presentable(name: &str) -> bool {
    let digits = name.chars().filter(|c| c.is_numeric()).count();
    let is_a_code = digits > 2 && digits == name.chars().filter(|c| c.is_alphanumeric()).count();
    name.len() <= MAX_LENGTH
        && digits <= MAX_DIGITS
        && !is_a_code
        && name.chars().any(char::is_alphanumeric)
        && !name.chars().any(char::is_control)
}

/// Whether one of two names begins with the other, case, spaces and punctuation aside.
fn is_form_of(one: &str, other: &str) -> bool {
    let mut one = folded(one);
    let mut other = folded(other);
    loop {
        match (one.next(), other.next()) {
            (Some(a), Some(b)) if a == b => {}
            (Some(_), Some(_)) => return false,
            _ => return true,
        }
    }
}

fn folded(name: &str) -> impl Iterator<Item = char> {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase)
}

/// Words of a name that is all in capitals or has none begin with a capital and go on in lower case, initials excepted.
fn in_usual_case(name: &str) -> String {
    let has_lower = name.chars().any(char::is_lowercase);
    let has_upper = name.chars().any(char::is_uppercase);
    let is_plain = name.chars().all(|c| c.is_alphanumeric() || " .&'+-/".contains(c));
    if (has_lower && has_upper) || !is_plain {
        return name.to_owned();
    }
    let words = name.split_whitespace().map(|word| {
        if has_upper && word.chars().count() <= INITIALS {
            return word.to_owned();
        }
        let mut characters = word.chars();
        let first = characters.next().into_iter().flat_map(char::to_uppercase);
        first.chain(characters.flat_map(char::to_lowercase)).collect()
    });
    words.collect::<Vec<String>>().join(" ")
}

/// Operators by MCCMNC, from the lists of assigned codes that the ITU and the regulators publish (ITU-T E.212; for France the
/// decisions of ARCEP): France and its territories complete, elsewhere the networks that carry people's messages, Europe and Africa
/// above all. A brand of several countries is named with its country, in France alone without. Without accents: dashboards compare
/// names in queries that people type.
#[rustfmt::skip]
const OPERATORS: &[(&str, &str)] = &[
    ("20201", "Cosmote"), ("20202", "Cosmote"), ("20205", "Vodafone Greece"), ("20209", "Nova"), ("20210", "Nova"),
    ("20402", "Odido"), ("20404", "Vodafone Netherlands"), ("20408", "KPN"), ("20409", "Lycamobile Netherlands"),
    ("20410", "KPN"), ("20412", "KPN"), ("20415", "Ziggo"), ("20416", "Odido"), ("20420", "Odido"), ("20469", "KPN"),
    ("20600", "Proximus"), ("20601", "Proximus"), ("20605", "Telenet"), ("20606", "Lycamobile Belgium"),
    ("20610", "Orange Belgium"), ("20620", "BASE"),
    ("20801", "Orange"), ("20802", "Orange"), ("20803", "MobiquiThings"), ("20804", "Netcom Group"),
    ("20805", "Globalstar Europe"), ("20806", "Globalstar Europe"), ("20807", "Globalstar Europe"), ("20808", "SFR"),
    ("20809", "SFR"), ("20810", "SFR"), ("20811", "SFR"), ("20812", "Truphone France"), ("20813", "SFR"),
    ("20814", "SNCF Reseau"), ("20815", "Free Mobile"), ("20816", "Free Mobile"), ("20817", "Legos"), ("20818", "Voxbone"),
    ("20819", "Haute-Garonne Numerique"), ("20820", "Bouygues Telecom"), ("20821", "Bouygues Telecom"), ("20822", "Transatel"),
    ("20823", "Charente Numerique"), ("20824", "MobiquiThings"), ("20825", "Lycamobile France"), ("20826", "Bouygues Telecom"),
    ("20827", "Coriolis Telecom"), ("20828", "Airmob"), ("20829", "Cubic Telecom France"), ("20830", "Syma Mobile"),
    ("20831", "Vectone Mobile France"), ("20832", "Orange"), ("20833", "Fibre64"), ("20834", "Cellhire France"),
    ("20835", "Free Mobile"), ("20836", "Free Mobile"), ("20837", "IP Directions"), ("20838", "Lebara France"),
    ("20839", "Netwo"), ("208500", "EDF"), ("208501", "Butachimie"), ("208502", "EDF"), ("208670", "P1 Security"),
    ("208700", "Weaccess"), ("208701", "Vendee Numerique"), ("208702", "17-Numerique"), ("208703", "Nivertel"),
    ("208704", "Axione Limousin"), ("208705", "Hautes-Pyrenees Numerique"), ("208706", "Tours Metropole Numerique"),
    ("208707", "Sartel THD"), ("208708", "Melis@ Territoires Ruraux"), ("208709", "Quimper Bretagne Occidentale"),
    ("208710", "Losange"), ("208711", "Nomotech"), ("208712", "SYADEN"), ("208713", "SDNUM"), ("208714", "Isere"),
    ("20886", "SEM@FOR77"), ("20887", "Airbus Defence and Space"), ("20888", "Bouygues Telecom"), ("20889", "Hub One"),
    ("20890", "Images & Reseaux"), ("20891", "Orange"), ("20892", "Com4Innov"), ("20893", "Thales"), ("20894", "Halys"),
    ("20895", "Orange"), ("20896", "Bourgogne-Franche-Comte"), ("20897", "Thales"), ("20898", "Air France"),
    ("21210", "Monaco Telecom"),
    ("21303", "Andorra Telecom"),
    ("21401", "Vodafone Spain"), ("21403", "Orange Spain"), ("21404", "Yoigo"), ("21405", "Movistar"),
    ("21406", "Vodafone Spain"), ("21407", "Movistar"), ("21408", "Euskaltel"), ("21409", "Orange Spain"), ("21416", "R Cable"),
    ("21419", "Orange Spain"), ("21421", "Orange Spain"),
    ("21601", "Yettel Hungary"), ("21603", "Digi Hungary"), ("21630", "Telekom Hungary"), ("21670", "One Hungary"),
    ("21803", "HT Eronet"), ("21805", "m:tel Bosnia"), ("21890", "BH Telecom"),
    ("21901", "Hrvatski Telekom"), ("21902", "Telemach Croatia"), ("21910", "A1 Croatia"),
    ("22001", "Yettel Serbia"), ("22003", "mts"), ("22005", "A1 Serbia"),
    ("22101", "Vala"), ("22102", "IPKO"),
    ("22201", "TIM"), ("22206", "Vodafone Italy"), ("22208", "Fastweb"), ("22210", "Vodafone Italy"), ("22233", "PosteMobile"),
    ("22235", "Lycamobile Italy"), ("22237", "Wind Tre"), ("22243", "TIM"), ("22247", "Fastweb"), ("22248", "TIM"),
    ("22250", "Iliad Italy"), ("22288", "Wind Tre"), ("22299", "Wind Tre"),
    ("22601", "Vodafone Romania"), ("22603", "Telekom Romania"), ("22605", "Digi Romania"), ("22606", "Telekom Romania"),
    ("22610", "Orange Romania"),
    ("22801", "Swisscom"), ("22802", "Sunrise"), ("22803", "Salt"), ("22808", "Sunrise"), ("22853", "Sunrise"),
    ("22854", "Lycamobile Switzerland"),
    ("23001", "T-Mobile Czechia"), ("23002", "O2 Czechia"), ("23003", "Vodafone Czechia"),
    ("23101", "Orange Slovakia"), ("23102", "Telekom Slovakia"), ("23103", "4ka"), ("23104", "Telekom Slovakia"),
    ("23105", "Orange Slovakia"), ("23106", "O2 Slovakia"),
    ("23201", "A1 Austria"), ("23202", "A1 Austria"), ("23203", "Magenta"), ("23204", "Magenta"), ("23205", "Drei Austria"),
    ("23207", "Magenta"), ("23208", "Lycamobile Austria"), ("23209", "A1 Austria"), ("23210", "Drei Austria"),
    ("23211", "A1 Austria"), ("23212", "A1 Austria"), ("23213", "Magenta"), ("23214", "Drei Austria"),
    ("23216", "Drei Austria"), ("23223", "Magenta"),
    ("23400", "BT"), ("23402", "O2 UK"), ("23403", "Airtel-Vodafone"), ("23410", "O2 UK"), ("23411", "O2 UK"),
    ("23415", "Vodafone UK"), ("23420", "Three UK"), ("23425", "Truphone UK"), ("23426", "Lycamobile UK"), ("23430", "EE"),
    ("23431", "EE"), ("23432", "EE"), ("23433", "EE"), ("23434", "EE"), ("23436", "Sure"), ("23438", "Virgin Mobile UK"),
    ("23450", "JT"), ("23455", "Sure"), ("23457", "Sky Mobile"), ("23458", "Manx Telecom"), ("23476", "BT"), ("23486", "EE"),
    ("23501", "EE"), ("23502", "EE"), ("23577", "BT"), ("23591", "Vodafone UK"), ("23592", "Vodafone UK"),
    ("23594", "Three UK"),
    ("23801", "TDC"), ("23802", "Telenor Denmark"), ("23806", "3 Denmark"), ("23810", "TDC"), ("23812", "Lycamobile Denmark"),
    ("23820", "Telia Denmark"), ("23877", "Telenor Denmark"),
    ("24001", "Telia Sweden"), ("24002", "3 Sweden"), ("24006", "Telenor Sweden"), ("24007", "Tele2 Sweden"),
    ("24008", "Telenor Sweden"), ("24012", "Lycamobile Sweden"),
    ("24201", "Telenor Norway"), ("24202", "Telia Norway"), ("24205", "Telia Norway"), ("24212", "Telenor Norway"),
    ("24214", "Ice"), ("24223", "Lycamobile Norway"),
    ("24403", "DNA"), ("24404", "DNA"), ("24405", "Elisa"), ("24412", "DNA"), ("24413", "DNA"), ("24414", "Alcom"),
    ("24421", "Elisa"), ("24491", "Telia Finland"),
    ("24601", "Telia Lithuania"), ("24602", "Bite Lithuania"), ("24603", "Tele2 Lithuania"),
    ("24701", "LMT"), ("24702", "Tele2 Latvia"), ("24705", "Bite Latvia"),
    ("24801", "Telia Estonia"), ("24802", "Elisa Estonia"), ("24803", "Tele2 Estonia"),
    ("25001", "MTS Russia"), ("25002", "MegaFon"), ("25011", "Yota"), ("25020", "T2"), ("25028", "Beeline Russia"),
    ("25099", "Beeline Russia"),
    ("25501", "Vodafone Ukraine"), ("25502", "Kyivstar"), ("25503", "Kyivstar"), ("25506", "lifecell"),
    ("25701", "A1 Belarus"), ("25702", "MTS Belarus"), ("25704", "life:)"),
    ("25901", "Orange Moldova"), ("25902", "Moldcell"), ("25905", "Moldtelecom"),
    ("26001", "Plus"), ("26002", "T-Mobile Poland"), ("26003", "Orange Poland"), ("26006", "Play"), ("26015", "Plus"),
    ("26016", "Plus"), ("26017", "Plus"),
    ("26201", "Telekom Germany"), ("26202", "Vodafone Germany"), ("26203", "O2 Germany"), ("26204", "Vodafone Germany"),
    ("26205", "O2 Germany"), ("26206", "Telekom Germany"), ("26207", "O2 Germany"), ("26208", "O2 Germany"),
    ("26209", "Vodafone Germany"), ("26211", "O2 Germany"), ("26223", "1&1"), ("26243", "Lycamobile Germany"),
    ("26277", "O2 Germany"),
    ("26601", "Gibtelecom"),
    ("26801", "Vodafone Portugal"), ("26803", "NOS"), ("26804", "Lycamobile Portugal"), ("26806", "MEO"),
    ("27001", "POST Luxembourg"), ("27077", "Tango"), ("27099", "Orange Luxembourg"),
    ("27201", "Vodafone Ireland"), ("27202", "Three Ireland"), ("27203", "eir"), ("27205", "Three Ireland"), ("27207", "eir"),
    ("27211", "Tesco Mobile Ireland"), ("27213", "Lycamobile Ireland"), ("27215", "Virgin Media Ireland"),
    ("27401", "Siminn"), ("27402", "Syn"), ("27403", "Syn"), ("27411", "Nova Iceland"),
    ("27601", "One Albania"), ("27602", "Vodafone Albania"), ("27603", "One Albania"),
    ("27801", "Epic Malta"), ("27821", "GO"), ("27877", "Melita"),
    ("28001", "Cyta"), ("28010", "Epic Cyprus"), ("28020", "PrimeTel"), ("28022", "Lemontel"),
    ("28201", "Silknet"), ("28202", "Magti"), ("28204", "Cellfie"),
    ("28301", "Team Armenia"), ("28305", "Viva Armenia"), ("28310", "Ucom"),
    ("28401", "A1 Bulgaria"), ("28403", "Vivacom"), ("28405", "Yettel Bulgaria"),
    ("28601", "Turkcell"), ("28602", "Vodafone Turkey"), ("28603", "Turk Telekom"),
    ("28801", "Foroya Tele"), ("28802", "Nema"),
    ("29001", "Tusass"),
    ("29340", "A1 Slovenia"), ("29341", "Telekom Slovenije"), ("29364", "T-2"), ("29370", "Telemach Slovenia"),
    ("29401", "Telekom North Macedonia"), ("29402", "A1 North Macedonia"), ("29403", "A1 North Macedonia"),
    ("29501", "Swisscom Liechtenstein"), ("29502", "Salt Liechtenstein"), ("29505", "FL1"),
    ("29701", "One Montenegro"), ("29702", "Crnogorski Telekom"), ("29703", "m:tel Montenegro"),
    ("302220", "Telus"), ("302270", "Eastlink"), ("302370", "Fido"), ("302490", "Freedom Mobile"), ("302500", "Videotron"),
    ("302510", "Videotron"), ("302520", "Videotron"), ("302610", "Bell Canada"), ("302640", "Bell Canada"),
    ("302720", "Rogers"), ("302780", "SaskTel"),
    ("30801", "SPM Telecom"), ("30802", "Globaltel"), ("30803", "SPM Telecom"), ("30804", "Globaltel"),
    ("310004", "Verizon"), ("310012", "Verizon"), ("310030", "AT&T"), ("310070", "AT&T"), ("310120", "T-Mobile US"),
    ("310150", "AT&T"), ("310160", "T-Mobile US"), ("310170", "AT&T"), ("310200", "T-Mobile US"), ("310210", "T-Mobile US"),
    ("310220", "T-Mobile US"), ("310230", "T-Mobile US"), ("310240", "T-Mobile US"), ("310250", "T-Mobile US"),
    ("310260", "T-Mobile US"), ("310270", "T-Mobile US"), ("310280", "AT&T"), ("310310", "T-Mobile US"), ("310380", "AT&T"),
    ("310410", "AT&T"), ("310490", "T-Mobile US"), ("310560", "AT&T"), ("310660", "T-Mobile US"), ("310680", "AT&T"),
    ("310800", "T-Mobile US"),
    ("311480", "Verizon"), ("311490", "T-Mobile US"), ("311580", "US Cellular"),
    ("313100", "FirstNet"),
    ("334020", "Telcel"), ("334030", "Movistar Mexico"), ("334050", "AT&T Mexico"), ("334090", "AT&T Mexico"),
    ("334140", "Altan"),
    ("34001", "Orange Caraibe"), ("34002", "SFR Caraibe"), ("34003", "Flow Caraibe"), ("34004", "Free Caraibe"),
    ("34008", "Dauphin Telecom"), ("34009", "Free Caraibe"), ("34020", "Digicel Antilles-Guyane"),
    ("37202", "Digicel Haiti"), ("37203", "Natcom"),
    ("40001", "Azercell"), ("40002", "Bakcell"), ("40004", "Nar"),
    ("40101", "Beeline Kazakhstan"), ("40102", "Kcell"), ("40177", "Tele2 Kazakhstan"),
    ("41001", "Jazz"), ("41003", "Ufone"), ("41004", "Zong"), ("41006", "Telenor Pakistan"), ("41007", "Jazz"),
    ("41301", "SLT-Mobitel"), ("41302", "Dialog"), ("41305", "Airtel Sri Lanka"), ("41308", "Hutch Sri Lanka"),
    ("41501", "Alfa"), ("41503", "touch"),
    ("41601", "Zain Jordan"), ("41603", "Umniah"), ("41677", "Orange Jordan"),
    ("41805", "Asiacell"), ("41820", "Zain Iraq"), ("41830", "Zain Iraq"), ("41840", "Korek"),
    ("41902", "Zain Kuwait"), ("41903", "Ooredoo Kuwait"), ("41904", "stc Kuwait"),
    ("42001", "stc"), ("42003", "Mobily"), ("42004", "Zain Saudi Arabia"),
    ("42202", "Omantel"), ("42203", "Ooredoo Oman"), ("42206", "Vodafone Oman"),
    ("42402", "e& UAE"), ("42403", "du"),
    ("42501", "Partner"), ("42502", "Cellcom Israel"), ("42503", "Pelephone"), ("42507", "HOT Mobile"),
    ("42508", "Golan Telecom"),
    ("42601", "Batelco"), ("42602", "Zain Bahrain"), ("42604", "stc Bahrain"),
    ("42701", "Ooredoo Qatar"), ("42702", "Vodafone Qatar"),
    ("44010", "NTT Docomo"), ("44011", "Rakuten Mobile"), ("44020", "SoftBank"), ("44050", "KDDI"), ("44051", "KDDI"),
    ("44052", "KDDI"), ("44053", "KDDI"), ("44054", "KDDI"),
    ("45002", "KT"), ("45005", "SK Telecom"), ("45006", "LG U+"), ("45008", "KT"),
    ("45201", "MobiFone"), ("45202", "VinaPhone"), ("45204", "Viettel"),
    ("46000", "China Mobile"), ("46001", "China Unicom"), ("46002", "China Mobile"), ("46003", "China Telecom"),
    ("46006", "China Unicom"), ("46007", "China Mobile"), ("46009", "China Unicom"), ("46011", "China Telecom"),
    ("46601", "Far EasTone"), ("46692", "Chunghwa Telecom"), ("46697", "Taiwan Mobile"),
    ("47001", "Grameenphone"), ("47002", "Robi"), ("47003", "Banglalink"), ("47004", "Teletalk"),
    ("50212", "Maxis"), ("50213", "CelcomDigi"), ("50216", "CelcomDigi"), ("50218", "U Mobile"), ("50219", "CelcomDigi"),
    ("50501", "Telstra"), ("50502", "Optus"), ("50503", "Vodafone Australia"), ("50506", "Vodafone Australia"),
    ("51001", "Indosat"), ("51010", "Telkomsel"), ("51011", "XL"), ("51089", "Tri"),
    ("51502", "Globe"), ("51503", "Smart"), ("51505", "Smart"), ("51566", "DITO"),
    ("52003", "AIS"), ("52004", "True"), ("52005", "True"),
    ("52501", "Singtel"), ("52502", "Singtel"), ("52503", "M1"), ("52505", "StarHub"), ("52510", "SIMBA"),
    ("53001", "One NZ"), ("53005", "Spark"), ("53024", "2degrees"),
    ("54301", "Manuia"),
    ("54601", "OPT New Caledonia"),
    ("54705", "Ora"), ("54715", "Vodafone French Polynesia"), ("54720", "Vini"),
    ("60201", "Orange Egypt"), ("60202", "Vodafone Egypt"), ("60203", "e& Egypt"), ("60204", "WE"),
    ("60301", "Mobilis"), ("60302", "Djezzy"), ("60303", "Ooredoo Algeria"), ("60309", "Algerie Telecom"),
    ("60400", "Orange Morocco"), ("60401", "Maroc Telecom"), ("60402", "inwi"), ("60405", "inwi"),
    ("60501", "Orange Tunisia"), ("60502", "Tunisie Telecom"), ("60503", "Ooredoo Tunisia"),
    ("60600", "Libyana"), ("60601", "Al-Madar"),
    ("60701", "Gamcel"), ("60702", "Africell Gambia"), ("60703", "Comium Gambia"), ("60704", "QCell Gambia"),
    ("60801", "Orange Senegal"), ("60802", "Yas Senegal"), ("60803", "Expresso Senegal"),
    ("60901", "Mattel"), ("60902", "Chinguitel"), ("60910", "Mauritel"),
    ("61001", "Moov Africa Malitel"), ("61002", "Orange Mali"), ("61003", "Telecel Mali"),
    ("61101", "Orange Guinea"), ("61104", "MTN Guinea"), ("61105", "Cellcom Guinea"),
    ("61202", "Moov Africa Cote d'Ivoire"), ("61203", "Orange Cote d'Ivoire"), ("61205", "MTN Cote d'Ivoire"),
    ("61301", "Moov Africa Burkina Faso"), ("61302", "Orange Burkina Faso"), ("61303", "Telecel Faso"),
    ("61401", "Niger Telecoms"), ("61402", "Airtel Niger"), ("61403", "Moov Africa Niger"), ("61404", "Zamani Telecom"),
    ("61501", "Yas Togo"), ("61503", "Moov Africa Togo"),
    ("61602", "Moov Africa Benin"), ("61603", "MTN Benin"), ("61605", "Glo Benin"), ("61607", "Celtiis"),
    ("61701", "my.t Mauritius"), ("61703", "MTML"), ("61710", "Emtel"),
    ("61801", "Lonestar MTN"), ("61807", "Orange Liberia"),
    ("61901", "Orange Sierra Leone"), ("61903", "Africell Sierra Leone"), ("61905", "Africell Sierra Leone"),
    ("61906", "SierraTel"),
    ("62001", "MTN Ghana"), ("62002", "Telecel Ghana"), ("62003", "AT Ghana"), ("62006", "AT Ghana"), ("62007", "Glo Ghana"),
    ("62120", "Airtel Nigeria"), ("62130", "MTN Nigeria"), ("62150", "Glo Nigeria"), ("62160", "9mobile"),
    ("62201", "Airtel Chad"), ("62203", "Moov Africa Chad"), ("62207", "Salam"),
    ("62301", "Moov Africa Centrafrique"), ("62302", "Telecel Centrafrique"), ("62303", "Orange Centrafrique"),
    ("62401", "MTN Cameroon"), ("62402", "Orange Cameroon"), ("62403", "Camtel"), ("62404", "Nexttel"),
    ("62501", "Alou"), ("62502", "Unitel T+"),
    ("62601", "CST"), ("62602", "Unitel STP"),
    ("62701", "GETESA"), ("62703", "Muni"),
    ("62801", "Moov Africa Gabon"), ("62802", "Moov Africa Gabon"), ("62803", "Airtel Gabon"),
    ("62901", "Airtel Congo"), ("62907", "Airtel Congo"), ("62910", "MTN Congo"),
    ("63001", "Vodacom DR Congo"), ("63002", "Airtel DR Congo"), ("63086", "Orange DR Congo"), ("63089", "Orange DR Congo"),
    ("63090", "Africell DR Congo"),
    ("63102", "Unitel Angola"), ("63104", "Movicel"), ("63105", "Africell Angola"),
    ("63202", "Telecel Guinea-Bissau"), ("63203", "Orange Bissau"),
    ("63301", "Cable & Wireless Seychelles"), ("63310", "Airtel Seychelles"),
    ("63401", "Zain Sudan"), ("63402", "MTN Sudan"), ("63407", "Sudani"),
    ("63510", "MTN Rwanda"), ("63513", "Airtel Rwanda"), ("63514", "Airtel Rwanda"),
    ("63601", "Ethio Telecom"), ("63602", "Safaricom Ethiopia"),
    ("63701", "Telesom"), ("63704", "Somafone"), ("63730", "Golis"), ("63750", "Hormuud"), ("63771", "Somtel"),
    ("63801", "Djibouti Telecom"),
    ("63902", "Safaricom"), ("63903", "Airtel Kenya"), ("63907", "Telkom Kenya"), ("63910", "Faiba"),
    ("64002", "Yas Tanzania"), ("64003", "Zantel"), ("64004", "Vodacom Tanzania"), ("64005", "Airtel Tanzania"),
    ("64007", "TTCL"), ("64009", "Halotel"),
    ("64101", "Airtel Uganda"), ("64110", "MTN Uganda"), ("64111", "Uganda Telecom"), ("64122", "Airtel Uganda"),
    ("64201", "Econet Leo"), ("64203", "Onatel Burundi"), ("64208", "Lumitel"), ("64282", "Econet Leo"),
    ("64301", "Tmcel"), ("64303", "Movitel"), ("64304", "Vodacom Mozambique"),
    ("64501", "Airtel Zambia"), ("64502", "MTN Zambia"), ("64503", "Zamtel"),
    ("64601", "Airtel Madagascar"), ("64602", "Orange Madagascar"), ("64604", "Yas Madagascar"),
    ("64700", "Orange Reunion"), ("64701", "Maore Mobile"), ("64702", "Free Reunion"), ("64703", "Free Reunion"),
    ("64704", "Zeop Mobile"), ("64710", "SFR Reunion"),
    ("64801", "NetOne"), ("64803", "Telecel Zimbabwe"), ("64804", "Econet Zimbabwe"),
    ("64901", "MTC Namibia"), ("64903", "Telecom Namibia"),
    ("65001", "TNM"), ("65010", "Airtel Malawi"),
    ("65101", "Vodacom Lesotho"), ("65102", "Econet Lesotho"),
    ("65201", "Mascom"), ("65202", "Orange Botswana"), ("65204", "beMobile"),
    ("65302", "Eswatini Mobile"), ("65310", "MTN Eswatini"),
    ("65401", "Huri"), ("65402", "Yas Comoros"),
    ("65501", "Vodacom South Africa"), ("65502", "Telkom South Africa"), ("65507", "Cell C"), ("65510", "MTN South Africa"),
    ("65512", "MTN South Africa"), ("65538", "Rain"),
    ("65701", "EriTel"),
    ("65902", "MTN South Sudan"), ("65906", "Zain South Sudan"),
    ("71606", "Movistar Peru"), ("71610", "Claro Peru"), ("71615", "Bitel"), ("71617", "Entel Peru"),
    ("722070", "Movistar Argentina"), ("722310", "Claro Argentina"), ("722341", "Personal Argentina"),
    ("72402", "TIM Brasil"), ("72403", "TIM Brasil"), ("72404", "TIM Brasil"), ("72405", "Claro Brasil"), ("72406", "Vivo"),
    ("72410", "Vivo"), ("72411", "Vivo"), ("72416", "Oi"), ("72423", "Vivo"), ("72424", "Oi"), ("72430", "Oi"), ("72431", "Oi"),
    ("73001", "Entel Chile"), ("73002", "Movistar Chile"), ("73003", "Claro Chile"), ("73009", "WOM Chile"),
    ("732101", "Claro Colombia"), ("732103", "Tigo Colombia"), ("732111", "Tigo Colombia"), ("732123", "Movistar Colombia"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::mcc;

    #[test]
    fn the_table_is_in_order_and_its_networks_are_in_countries() {
        assert!(OPERATORS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for (code, operator) in OPERATORS {
            assert!(mcc::country(code).is_some(), "{code}");
            assert!(matches!(code.len(), 5 | 6) && code.bytes().all(|b| b.is_ascii_digit()), "{code}");
            assert!(is_presentable(operator) && operator.is_ascii(), "{operator}");
            assert_eq!(name(code, Some(operator)), *operator);
        }
    }

    #[test]
    fn an_operator_has_one_spelling_however_it_is_reported() {
        for (code, reported, expected) in [
            ("20810", None, "SFR"),
            ("20810", Some("sfr"), "SFR"),
            ("20801", Some("ORANGE"), "Orange"),
            ("20801", Some("Orange F"), "Orange"),
            ("20802", Some(" orange france "), "Orange"),
            ("20820", Some("BOUYGUES TELECOM"), "Bouygues Telecom"),
            ("20820", Some("BouyguesTelecom"), "Bouygues Telecom"),
            ("20815", Some("FREE"), "Free Mobile"),
            ("20610", Some("Orange"), "Orange Belgium"),
            ("311480", None, "Verizon"),
        ] {
            assert_eq!(name(code, reported), expected, "{code} {reported:?}");
        }
    }

    #[test]
    fn a_name_that_the_table_does_not_have_is_shown_in_its_usual_case() {
        for (reported, expected) in [
            ("Prixtel", "Prixtel"),
            ("NRJ MOBILE", "NRJ Mobile"),
            ("MTN", "MTN"),
            ("la poste mobile", "La Poste Mobile"),
            ("LA  POSTE", "LA Poste"),
            ("BeeLine", "BeeLine"),
            ("<b>orange</b>", "<b>orange</b>"),
            ("中国移动", "中国移动"),
            ("3", "3"),
        ] {
            assert_eq!(name("99999", Some(reported)), expected, "{reported}");
        }
    }

    #[test]
    fn what_is_no_name_is_not_shown() {
        let long = "x".repeat(65);
        for reported in ["", "  ", "--", "20801", "208 01", "a\nb", "OFF +33 6 12 34 56 78", &long] {
            assert_eq!(name("20810", Some(reported)), "SFR", "{reported:?}");
            assert_eq!(name("99999", Some(reported)), "99999", "{reported:?}");
        }
    }

    #[test]
    fn people_see_the_name_and_the_code_as_far_as_they_are_known() {
        for (code, reported, expected) in [
            (Some("20801"), Some("ORANGE"), Some("Orange (20801)")),
            (Some("20801"), None, Some("Orange (20801)")),
            (Some("99999"), None, Some("99999")),
            (None, Some("Orange"), Some("Orange")),
            (None, Some("33612345678"), None),
            (None, None, None),
        ] {
            assert_eq!(name_and_code(code, reported).as_deref(), expected, "{code:?} {reported:?}");
        }
    }
}
