//! Organisations and channels of the provider's API.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An organisation: whose credit it is. Amounts are the provider's own numbers, in millionths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Organisation {
    pub id: Option<String>,
    pub state: Option<String>,
    pub balance: Option<i64>,
    pub monthly_consumption: Option<i64>,
    pub monthly_limit: Option<i64>,
}

/// A channel: what a key sends by. Amounts are the provider's own numbers, in millionths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    pub id: String,
    pub organisation: Option<String>,
    pub name: Option<String>,
    pub daily_consumption: Option<i64>,
    pub daily_limit: Option<i64>,
    pub monthly_consumption: Option<i64>,
    pub monthly_limit: Option<i64>,
    pub callbacks: Callbacks,
}

/// The callback URLs of a channel's receipts and replies, unless a message has its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callbacks {
    pub status: Option<String>,
    pub mo: Option<String>,
}

impl Organisation {
    pub(super) fn read(value: &Value) -> Self {
        let balance = &value["balance"];
        Self {
            id: text(&value["organisationId"]).or_else(|| text(&value["id"])),
            state: text(&value["state"]),
            balance: number(&balance["amount"]).or_else(|| number(balance)),
            monthly_consumption: number(&value["monthlyConsumption"]),
            monthly_limit: number(&value["monthlyConsumptionLimit"]),
        }
    }

    pub fn is_active(&self) -> bool {
        self.state.as_deref().is_some_and(|state| state.eq_ignore_ascii_case("ACTIVATED"))
    }
}

impl Channel {
    /// `None` without an id.
    pub(super) fn read(value: &Value) -> Option<Self> {
        Some(Self {
            id: text(&value["channelId"])?,
            organisation: text(&value["organisationId"]),
            name: text(&value["name"]),
            daily_consumption: number(&value["dailyConsumption"]),
            daily_limit: number(&value["dailyConsumptionLimit"]),
            monthly_consumption: number(&value["monthlyConsumption"]),
            monthly_limit: number(&value["monthlyConsumptionLimit"]),
            callbacks: Callbacks {
                status: text(&value["defaultCallbackUrlStatus"]),
                mo: text(&value["defaultCallbackUrlMo"]),
            },
        })
    }
}

/// A number, or a text with one (`12.5`, `12,5`), in millionths. `None` for anything else, and past a million million.
pub fn number(value: &Value) -> Option<i64> {
    let number: f64 = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().replace(',', ".").parse().ok()?,
        _ => return None,
    };
    (-1e12..=1e12).contains(&number).then(|| (number * 1e6).round() as i64)
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim()).filter(|text| !text.is_empty()).map(str::to_owned),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
