//! `usage`: what is stored, and what it takes up.

use serde_json::Value;

use super::Kv;
use super::document::{bytes, words};

pub(super) async fn run(kv: &Kv) -> anyhow::Result<()> {
    let usage = kv.remote.usage().await?;
    kv.result(|| usage.clone(), || description(&usage));
    Ok(())
}

fn description(usage: &Value) -> String {
    let number = |name: &str| usage.get(name).and_then(Value::as_u64);
    let factor = match (number("bytes"), number("stored_bytes")) {
        (Some(content), Some(stored)) if content > 0 => {
            format!(", {:.2} times the content", stored as f64 / content as f64)
        }
        _ => String::new(),
    };
    [
        format!("datastores  {}", words(usage.get("datastores"))),
        format!("objects     {}", words(usage.get("objects"))),
        format!("versions    {}", words(usage.get("versions"))),
        format!("content     {}", bytes(usage.get("bytes"))),
        format!("stored      {}{factor}", bytes(usage.get("stored_bytes"))),
    ]
    .join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_stored_is_set_against_the_content() {
        let usage = json!({"datastores": 1, "objects": 2, "versions": 3, "bytes": 1000, "stored_bytes": 1500});

        assert!(description(&usage).ends_with("1.50 times the content"));
        assert!(!description(&json!({"bytes": 0, "stored_bytes": 0})).contains("times"));
    }
}
