//! The setting `alerts`: hooks for every workflow. What a hook may say is known to `definition`, which reads them at start.

use super::kind::{Raw, Setting};
use serde_json::{Map, Value};
use toml::de::DeValue;

/// Hooks by the name of their event, as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alerts(pub Map<String, Value>);

impl Setting for Alerts {
    const KIND: &'static str = "a table of lists of hooks";

    fn read(raw: &Raw<'_>) -> Result<Alerts, String> {
        let read = match raw {
            Raw::Toml(value) => json(value)?,
            Raw::Text(text) if matches!(text.trim(), "" | "none") => Value::Object(Map::new()),
            Raw::Text(text) => serde_json::from_str(text).map_err(|error| format!("must be JSON: {error}"))?,
        };
        match read {
            Value::Object(map) => Ok(Alerts(map)),
            _ => Err("must be a table of lists of hooks by event, such as `[[alerts.group_failed]]`".to_string()),
        }
    }

    /// The names of the hooks alone: an address or a variable may be a secret.
    fn show(&self) -> String {
        let name = |hook: &Value| hook["name"].as_str().unwrap_or("?").to_string();
        let names = |(event, hooks): (&String, &Value)| {
            let names: Vec<String> = hooks.as_array().into_iter().flatten().map(name).collect();
            format!("{event} = {}", names.join(" "))
        };
        let entries: Vec<String> = self.0.iter().map(names).collect();
        if entries.is_empty() { "none".to_string() } else { entries.join(", ") }
    }
}

fn json(value: &DeValue<'_>) -> Result<Value, String> {
    Ok(match value {
        DeValue::String(text) => text.to_string().into(),
        DeValue::Boolean(value) => (*value).into(),
        DeValue::Integer(number) => {
            let text = number.as_str().replace('_', "");
            text.parse::<i64>().map_err(|_| format!("`{text}` is too large a number"))?.into()
        }
        DeValue::Float(number) => {
            let text = number.as_str().replace('_', "");
            text.parse::<f64>().map_err(|_| format!("`{text}` is not a number"))?.into()
        }
        DeValue::Array(list) => list.iter().map(|it| json(it.get_ref())).collect::<Result<Vec<_>, _>>()?.into(),
        DeValue::Table(table) => {
            let fields = table.iter().map(|(key, it)| Ok((key.get_ref().to_string(), json(it.get_ref())?)));
            Value::Object(fields.collect::<Result<_, String>>()?)
        }
        DeValue::Datetime(time) => time.to_string().into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_and_a_variable_mean_the_same_and_only_names_are_shown() {
        let text = "[[a.group_failed]]\nname = \"slack\"\nuses = \"windlass/webhook\"\nretries = 5\nwith = { url = \"https://h/secret\" }\n";
        let table = toml::de::DeTable::parse(text).unwrap();
        let (_, value) = table.get_ref().iter().next().unwrap();
        let read = Alerts::read(&Raw::Toml(value.get_ref())).unwrap();
        let same = r#"{"group_failed": [{"name": "slack", "uses": "windlass/webhook", "retries": 5, "with": {"url": "https://h/secret"}}]}"#;
        assert_eq!(Alerts::read(&Raw::Text(same)).unwrap(), read);
        assert_eq!((read.show().as_str(), Alerts::default().show().as_str()), ("group_failed = slack", "none"));
        assert!(Alerts::read(&Raw::Text("[1]")).unwrap_err().contains("table of lists"));
    }
}
