//! The plan of a run: the messages, their times and their webhooks. Pure: the same settings give the same plan.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::content::{Content, Flow, SHORT_CODE};
use super::dice::{Dice, Stream};
use super::market::Market;
use super::message::{Message, Step, Trace};
use super::scenario::Scenario;
use super::status::{Channel, Dialect, Meaning};
use super::story::{self, Fate};

/// What a plan follows from.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub seed: u64,
    pub scenario: Scenario,
    /// Messages per second.
    pub rate: f64,
    /// For how long messages are sent. Their webhooks come until later.
    pub duration: Duration,
    /// How many seconds of the provider's clock pass in one.
    pub compression: f64,
    /// Share of messages that are reported in the legacy dialect, from 0 to 1.
    pub legacy: f64,
    /// The provider's clock at the start of the run.
    pub start: Timestamp,
    /// Texts that opt out; if there are none, only the provider's flag does.
    pub keywords: Vec<String>,
    /// The provider's channel ids, one at least.
    pub channel_ids: Vec<String>,
}

/// Channel ids for a target without its own: main, RCS, WhatsApp.
const CHANNEL_IDS: [&str; 3] = [
    "9a6f0e56-5b0a-4d4c-b0c5-6f5d29f4b6f1",
    "1f3d2a64-93c7-4a8e-8d55-0c2b6a7e9d10",
    "c7e1b8f2-2d46-4f0b-9b3a-51e0a4d8c263",
];

impl Settings {
    /// [`Settings::channel_ids`] for a target that takes any.
    pub fn any_channel() -> Vec<String> {
        CHANNEL_IDS.map(str::to_owned).to_vec()
    }

    /// [`Settings::keywords`] that every source knows by default.
    pub fn usual_keywords() -> Vec<String> {
        ["STOP", "STOPSMS", "ARRET"].map(str::to_owned).to_vec()
    }
}

/// A plan. Messages are drawn when they are due, so that a long run needs no memory.
#[derive(Clone, Debug)]
pub struct Plan {
    settings: Arc<Settings>,
    /// What ids are drawn from: other settings make other messages, and those need other ids.
    ids: u64,
    count: u64,
}

impl Plan {
    pub fn new(settings: Settings) -> Self {
        let digest = Sha256::digest(format!("{settings:?}"));
        let ids = digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte));
        let count = (settings.rate * settings.duration.as_secs_f64()).round().max(1.0) as u64;
        Self { settings: Arc::new(settings), ids, count }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How many messages there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// All messages, in the order in which the provider accepts them.
    pub fn messages(&self) -> impl Iterator<Item = Message> + use<> {
        let plan = self.clone();
        (0..self.count).map(move |number| plan.message(number))
    }

    /// When `step` is first sent, and then each of its copies, after the start of the run.
    pub fn arrivals(&self, message: &Message, step: &Step) -> Vec<Duration> {
        let settings = &self.settings;
        let due = |seconds: f64| {
            let passed = Duration::from_secs_f64((message.waits + seconds).max(0.0) / settings.compression);
            settings.scenario.arrives(message.accepted_at + passed, settings.duration)
        };
        let later = step.copies.iter().map(|copy| due(step.arrives + copy));
        std::iter::once(due(step.arrives)).chain(later).collect()
    }

    /// Message `number`, from 0.
    pub fn message(&self, number: u64) -> Message {
        let settings = &self.settings;
        let mut dice = Dice::new(settings.seed, Stream::Contents, number);
        let accepted_at = Duration::from_secs_f64((number as f64 + dice.unit()) / settings.rate);
        let dialect = if dice.chance(settings.legacy) { Dialect::Legacy } else { Dialect::V1 };
        let channel = match (dialect, dice.unit()) {
            (Dialect::V1, 0.95..) => Channel::Whatsapp,
            (Dialect::V1, 0.85..) => Channel::Rcs,
            _ => Channel::Sms,
        };
        let market = Market::draw(&mut dice);
        let flow = Flow::draw(&mut dice);
        let content = Content::draw(flow, &mut dice);
        let each = if dialect == Dialect::V1 { market.price } else { market.credits };
        let mut message = Message {
            number,
            accepted_at,
            dialect,
            id: self.id(dialect, flow, number),
            channel,
            flow,
            market,
            network: market.network(&mut dice),
            recipient: market.number(&mut dice, number),
            plus: dice.chance(0.05),
            originator: if flow == Flow::Marketing { SHORT_CODE } else { "ACME" },
            price: Some(each * i64::from(content.parts)),
            content,
            price_as_text: dice.chance(0.5),
            ref_client: dice.chance(0.8).then(|| reference(flow, number, &mut dice)),
            campaign: (flow == Flow::Marketing && dialect == Dialect::V1).then(|| campaign(number)),
            channel_id: settings.channel_ids[channel as usize % settings.channel_ids.len()].clone(),
            has_direction: dice.chance(0.9),
            trace: dice.chance(0.1).then(|| trace(&mut dice)),
            waits: story::waits(dialect, &mut dice),
            steps: Vec::new(),
        };
        self.add_steps(&mut message);
        message
    }

    /// Gives the message its steps.
    fn add_steps(&self, message: &mut Message) {
        let settings = &self.settings;
        let mut dice = Dice::new(settings.seed, Stream::Story, message.number);
        let phase = message.accepted_at.as_secs_f64() / settings.duration.as_secs_f64();
        // Drawn in any case: a scenario moves no draw of a message that it leaves alone.
        let ordinary = Fate::draw(message.dialect, message.channel, &mut dice);
        let special = settings.scenario.fate(message, ordinary, phase, &mut dice.clone());
        let fate = special.unwrap_or(ordinary);
        if matches!(fate, Fate::Failed(failure) if is_rejected(failure.status.meaning)) {
            message.price = None;
        }
        message.steps = story::steps(message, fate, &settings.keywords, &mut dice);
        for step in &mut message.steps {
            if let Some(copies) = settings.scenario.copies(&mut dice) {
                step.copies = copies;
            }
        }
    }

    fn id(&self, dialect: Dialect, flow: Flow, number: u64) -> String {
        let mut dice = match (dialect, flow) {
            // One call to the legacy API sends a text to many numbers, under one smsID.
            (Dialect::Legacy, Flow::Marketing) => Dice::new(self.ids, Stream::SharedIds, number - number % 4),
            _ => Dice::new(self.ids, Stream::Ids, number),
        };
        dice.uuid()
    }
}

/// A message that the provider does not even try to send costs nothing.
fn is_rejected(meaning: Meaning) -> bool {
    matches!(meaning, Meaning::Failed("credit" | "limit" | "invalid_number" | "blacklisted"))
}

fn reference(flow: Flow, number: u64, dice: &mut Dice) -> String {
    match flow {
        Flow::Otp => format!("login-{:08x}", dice.below(1 << 32)),
        Flow::Transactional => format!("order-{}", 100_000 + number),
        Flow::Marketing => format!("contact-{}", dice.below(50_000)),
    }
}

/// A thousand messages are a campaign.
fn campaign(number: u64) -> String {
    format!("campaign-{}", 1 + number / 1_000)
}

fn trace(dice: &mut Dice) -> Trace {
    let (trace_id, span_id) = (u128::from_be_bytes(dice.bytes()), u64::from_be_bytes(dice.bytes()));
    let text = format!("00-{trace_id:032x}-{span_id:016x}-01");
    if dice.chance(0.5) { Trace::Query(text) } else { Trace::Path(text) }
}
