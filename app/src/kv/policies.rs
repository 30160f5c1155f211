//! `policy`: policies are listed, made and tried out.

use serde_json::Value;

use super::Kv;
use super::cli::PolicyCommand;
use super::document::{self, words};
use super::table::Table;
use crate::report::line;

/// What a definition is called that is only tried out.
const UNNAMED: &str = "simulated";

pub(super) async fn run(kv: &Kv, command: PolicyCommand) -> anyhow::Result<()> {
    match command {
        PolicyCommand::Ls => list(kv).await,
        PolicyCommand::Create { name, definition } => {
            let definition = document::read(&definition)?;
            let told = kv.remote.put_policy(&name, &definition).await?;
            print(kv, &format!("made policy {name}"), &told);
            Ok(())
        }
        PolicyCommand::Simulate { policy } => {
            let (name, definition) = match document::is_document(&policy) {
                true => (UNNAMED, Some(document::read(&policy)?)),
                false => (&*policy, None),
            };
            let told = kv.remote.simulate(name, definition.as_ref()).await?;
            print(kv, &format!("policy {name}, as it would be"), &told);
            Ok(())
        }
    }
}

async fn list(kv: &Kv) -> anyhow::Result<()> {
    let policies = kv.remote.policies().await?;
    if kv.is_json {
        let policies = policies.into_iter();
        policies.for_each(|it| line(&Value::from(it).to_string()));
        return Ok(());
    }
    let mut table = Table::new(&["name", ">version", "redundancy", "rules"]);
    for it in &policies {
        let definition = it.get("definition");
        let rules = definition.and_then(|it| it.get("placement"));
        table.row([
            words(it.get("name")),
            words(it.get("version")),
            redundancy(definition.and_then(|it| it.get("redundancy"))),
            members(rules),
        ]);
    }
    table.print();
    Ok(())
}

/// A code in words: `rs 4+2`.
fn redundancy(code: Option<&Value>) -> String {
    let number = |name: &str| code.and_then(|it| it.get(name)).and_then(Value::as_u64);
    let kind = words(code.and_then(|it| it.get("kind")));
    let numbers = ["copies", "data", "parity", "total"].map(number);
    match (&*kind, numbers) {
        ("replication", [Some(copies), ..]) => format!("{copies} copies"),
        ("rs", [_, Some(data), Some(parity), _]) => format!("rs {data}+{parity}"),
        ("rlnc", [_, Some(data), _, Some(total)]) => format!("rlnc {data} of {total}"),
        _ => code.map(Value::to_string).unwrap_or_default(),
    }
}

/// The members of an object that say something: `per_provider 3, regions north, south`.
fn members(object: Option<&Value>) -> String {
    let Some(Value::Object(object)) = object else {
        return String::new();
    };
    let members = object
        .iter()
        .map(|(name, value)| (name, words(Some(value))))
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name} {value}"));
    members.collect::<Vec<_>>().join("; ")
}

fn print(kv: &Kv, heading: &str, told: &Value) {
    kv.result(|| told.clone(), || description(heading, told));
}

fn description(heading: &str, told: &Value) -> String {
    let survived = |name: &str| words(told.get("losses_survived").and_then(|it| it.get(name)));
    let number = |name: &str| words(told.get(name));
    let code = told.get("definition").and_then(|it| it.get("redundancy"));
    [
        heading.to_owned(),
        format!("  code       {}", redundancy(code)),
        format!("  space      {} times the content", number("space_factor")),
        format!(
            "  fragments  {}, of which any {} suffice",
            number("fragments"),
            number("fragments_needed")
        ),
        format!(
            "  survives   the loss of any {} fragments, {} locations, {} providers, {} regions",
            survived("fragments"),
            survived("locations"),
            survived("providers"),
            survived("regions")
        ),
        format!(
            "  costs      {} a GB and month, {} a GB read",
            number("cost_per_gb_month"),
            number("cost_per_gb_read")
        ),
        format!(
            "  repair     reads {} times what was lost of the content",
            number("repair_traffic_factor")
        ),
        format!("  locations  {}", number("locations")),
    ]
    .join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn codes_are_told_in_words() {
        for (code, told) in [
            (json!({"kind": "replication", "copies": 3}), "3 copies"),
            (json!({"kind": "rs", "data": 4, "parity": 2}), "rs 4+2"),
            (
                json!({"kind": "rlnc", "data": 4, "total": 6}),
                "rlnc 4 of 6",
            ),
            (json!({"kind": "new"}), r#"{"kind":"new"}"#),
        ] {
            assert_eq!(redundancy(Some(&code)), told);
        }
        assert_eq!(redundancy(None), "");
    }

    #[test]
    fn rules_that_say_nothing_are_not_told() {
        let rules = json!({"per_provider": 3, "regions": ["north", "south"], "classes": []});

        assert_eq!(
            members(Some(&rules)),
            "per_provider 3; regions north, south"
        );
    }
}
