//! The legacy HTTP API: parameters of a query or a form, one event a call.

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::text::Parameters;
use super::{contact, differs, mccmnc, price, status, time};
use crate::event::{Event, Network, Receipt, Reply, ReplyKind, Status, hex, plain_id};
use crate::number;
use crate::provider::{DecodeContext, keyword};

/// A receipt where there is a `statut`, a reply where there is a `responseID` or an `emetteur` with its `message`. The error says
/// what is lacking.
pub(super) fn event(context: &DecodeContext<'_>, parameters: Parameters) -> Result<Event, &'static str> {
    if let Some(code) = parameters.get("statut") {
        let sms_id = parameters.get("smsid").ok_or("no smsID")?;
        return Ok(receipt(context, &parameters, sms_id, code));
    }
    let written_to_us = parameters.get("emetteur").is_some() && parameters.raw("message").is_some();
    if written_to_us || parameters.get("responseid").is_some() {
        return Ok(reply(context, parameters));
    }
    Err("neither a receipt nor a reply")
}

fn receipt(context: &DecodeContext<'_>, parameters: &Parameters, sms_id: &str, code: &str) -> Event {
    let network = network(parameters);
    let numero = parameters.get("numero").unwrap_or_default();
    let (number, country) = contact(Some(numero).filter(|n| !n.is_empty()), network.mccmnc.as_deref(), context);
    let message_part = number.as_deref().map(number::plain).unwrap_or_default();
    let value = status::legacy_code(code);
    Event::Receipt(Box::new(Receipt {
        message_id: plain_id(sms_id.to_owned()),
        part_text: differs(numero, &message_part),
        message_part,
        shares_id: true,
        channel: Some("SMS".to_owned()),
        channel_id: None,
        flow: None,
        number,
        country,
        originator: None,
        status: Status {
            outcome: status::legacy(&value),
            value_text: differs(code, &value),
            value,
            detail: None,
            time: received(context, parameters),
            time_text: parameters.get("date_reception").unwrap_or_default().to_owned(),
        },
        accepted_at: None,
        sent_at: None,
        network,
        price: parameters.get("cost").and_then(|cost| price(cost, Some("credits".to_owned()))),
        parts: None,
        ref_client: owned(parameters, "refclient"),
        campaign_id: None,
        origin_message_id: None,
        text: None,
    }))
}

/// In a reply `numero` is the short code and `emetteur` the contact.
fn reply(context: &DecodeContext<'_>, parameters: Parameters) -> Event {
    let network = network(&parameters);
    let (number, country) = contact(parameters.get("emetteur"), network.mccmnc.as_deref(), context);
    let text = parameters.raw("message").filter(|text| !text.trim().is_empty());
    let stops = text.is_some_and(|text| keyword::is_keyword(text, context.stop_keywords));
    let mut reply = Reply {
        reply_id: parameters.get("responseid").unwrap_or_default().to_owned(),
        former_id: None,
        kind: if stops { ReplyKind::Stop } else { ReplyKind::Reply },
        opts_in: !stops && text.is_some_and(|text| keyword::is_keyword(text, context.start_keywords)),
        channel: Some("SMS".to_owned()),
        channel_id: None,
        flow: None,
        number,
        country,
        originator: owned(&parameters, "numero"),
        time: received(context, &parameters),
        network,
        ref_client: owned(&parameters, "refclient"),
        campaign_id: None,
        origin_message_id: owned(&parameters, "smsid").map(plain_id),
        text: text.map(str::to_owned),
    };
    if reply.reply_id.is_empty() {
        let mut parameters = parameters.sorted();
        let former = hash_of_all(&parameters);
        for (name, value) in &mut parameters {
            match name.as_str() {
                "emetteur" | "numero" => *value = number::plain(&number::read(value, context.region).number),
                "date_reception" => {
                    if let Some(time) = time::parse(value, context.zone) {
                        *value = time.to_string();
                    }
                }
                "smsid" => *value = plain_id(value.trim().to_owned()),
                _ => {}
            }
        }
        reply.reply_id = hash_of_all(&parameters);
        reply.former_id = differs(&former, &reply.reply_id);
    }
    Event::Reply(Box::new(reply))
}

/// The same parameters in any order are the same reply.
fn hash_of_all(parameters: &[(String, String)]) -> String {
    let mut hash = Sha256::new();
    for (name, value) in parameters {
        hash = hash.chain_update(name).chain_update([0]).chain_update(value).chain_update([0]);
    }
    hex(&hash.finalize())
}

fn received(context: &DecodeContext<'_>, parameters: &Parameters) -> Option<Timestamp> {
    time::parse(parameters.get("date_reception")?, context.zone)
}

fn network(parameters: &Parameters) -> Network {
    Network { mccmnc: parameters.get("mcc_mnc").and_then(mccmnc), name: None }
}

fn owned(parameters: &Parameters, name: &str) -> Option<String> {
    parameters.get(name).map(str::to_owned)
}
