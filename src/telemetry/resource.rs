//! The OpenTelemetry resource, the same for logs and for all metrics.

use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1;
use uuid::Uuid;

use crate::settings::Otlp;

/// The name of the scope of all that smscope sends, and of its service unless the operator names it otherwise.
pub const SCOPE: &str = "smscope";

/// The resource's attributes, each key once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    attributes: Vec<(String, String)>,
}

impl Resource {
    /// Our own attributes, over which the operator's win, as the specification of OTEL_RESOURCE_ATTRIBUTES says; but
    /// `otlp.service_name` is the effective name already and wins over a `service.name` attribute.
    ///
    /// `instance` is the identity in the data directory: the same for every start of this deployment.
    pub fn new(otlp: &Otlp, instance: Uuid) -> Self {
        let mut resource = Self { attributes: Vec::new() };
        resource.set("service.name", &otlp.service_name);
        resource.set("service.version", env!("CARGO_PKG_VERSION"));
        resource.set("service.instance.id", &instance.to_string());
        for (key, value) in otlp.resource.iter().filter(|(key, _)| key != "service.name") {
            resource.set(key, value);
        }
        resource
    }

    /// Key and value of each attribute.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.attributes.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// As OTLP carries it.
    pub fn to_proto(&self) -> v1::Resource {
        let attributes = self.attributes().map(|(key, value)| text(key, value)).collect();
        v1::Resource { attributes, ..Default::default() }
    }

    /// As the OpenTelemetry SDK holds it: with nothing of its own or of the environment.
    pub fn to_sdk(&self) -> opentelemetry_sdk::Resource {
        let attributes =
            self.attributes().map(|(key, value)| opentelemetry::KeyValue::new(key.to_owned(), value.to_owned()));
        opentelemetry_sdk::Resource::builder_empty().with_attributes(attributes).build()
    }

    fn set(&mut self, key: &str, value: &str) {
        match self.attributes.iter_mut().find(|(known, _)| known == key) {
            Some((_, known)) => value.clone_into(known),
            None => self.attributes.push((key.to_owned(), value.to_owned())),
        }
    }
}

/// The scope of all that smscope sends.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope { name: SCOPE.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned(), ..Default::default() }
}

pub(super) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

pub(super) fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::time::Duration;

    pub const INSTANCE: Uuid = Uuid::from_u128(0x1b4e28ba_2fa1_11d2_883f_0016d3cca427);

    pub fn otlp(service_name: &str, resource: &[(&str, &str)]) -> Otlp {
        Otlp {
            logs: None,
            metrics: None,
            metric_interval: Duration::from_secs(60),
            strict_answers: false,
            service_name: service_name.to_owned(),
            resource: resource.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect(),
        }
    }

    #[test]
    fn a_resource_names_the_service_its_version_and_its_instance() {
        let resource = Resource::new(&otlp("smscope", &[]), INSTANCE);
        assert_eq!(
            resource.attributes().collect::<Vec<_>>(),
            [
                ("service.name", "smscope"),
                ("service.version", env!("CARGO_PKG_VERSION")),
                ("service.instance.id", "1b4e28ba-2fa1-11d2-883f-0016d3cca427"),
            ]
        );
    }

    #[test]
    fn the_operators_attributes_win_but_not_over_the_service_name() {
        let given = [("service.name", "other"), ("service.instance.id", "pod-1"), ("team", "a"), ("team", "b")];
        let resource = Resource::new(&otlp("sms", &given), INSTANCE);
        assert_eq!(
            resource.attributes().collect::<Vec<_>>(),
            [
                ("service.name", "sms"),
                ("service.version", env!("CARGO_PKG_VERSION")),
                ("service.instance.id", "pod-1"),
                ("team", "b"),
            ]
        );
        assert_eq!(resource.to_proto().attributes[3], text("team", "b"));
    }
}
