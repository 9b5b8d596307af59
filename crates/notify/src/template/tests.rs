use super::*;

fn templates() -> Templates {
    Templates::new(None, TimeZone::get("Europe/Berlin").unwrap()).unwrap()
}

#[test]
fn every_topic_says_what_happened_and_what_to_do() {
    for topic in Topic::ALL {
        let message = templates().sample(*topic, "key".to_owned()).unwrap();
        let [item] = message.items.as_slice() else { panic!("{message:?}") };
        assert!(!item.subject.is_empty() && !item.what.is_empty(), "{topic}");
        assert!(message.text.contains(&item.what), "{}", message.text);
        let mut pairs = item.what.as_bytes().windows(2);
        let runs_on = pairs.any(|pair| pair[0] == b'.' && pair[1].is_ascii_uppercase());
        assert!(!runs_on, "{}", item.what);
        assert!(message.subject.len() < 100 && !message.subject.contains('\n'), "{topic}");
        for line in message.text.lines().chain(message.html.lines()) {
            assert!(line.len() < 998, "no mail server has to take longer lines: {line}");
        }
    }
}

#[test]
fn a_threshold_reads_well_in_plain_text() {
    let message = templates().sample(Topic::BudgetThreshold, "key".to_owned()).unwrap();
    let expected = "\
Acme Corporation has used 80 % of its AI budget

Acme Corporation has spent $1,612.48 of $2,000.00 on all models, 80.6 % of the budget. It starts \
afresh on 1 Dec 2026, 01:00 CET. At 100 % further calls are refused.

Tenant: acme
Budget: all models
Spent: $1,612.48
Limit: $2,000.00
Used: 80.6 %
Period since: 1 Nov 2026, 01:00 CET
Resets: 1 Dec 2026, 01:00 CET

What to do
- Look at what has spent it: which models, users and report types.
- Slow down what can wait, or agree on a higher limit before the budget is used up.

--
Sent by Bursar.";
    assert_eq!(message.text.trim(), expected);
}

#[test]
fn a_hold_is_told_with_its_amount_and_without_where_nothing_is_known() {
    let say = |topic: Topic, facts: &Facts| {
        templates().item(topic, Severity::Warning, facts).unwrap().what
    };
    let known = Facts::sample(Topic::Unresolved);
    let text = say(Topic::Unresolved, &known);
    assert!(text.contains("held for it, $0.0525, counts as spent in the budget for"), "{text}");
    let text = say(Topic::Overrun, &Facts::sample(Topic::Overrun));
    assert!(text.contains("has cost $0.073125 where $0.0525 was held for it. All of"), "{text}");
    let unknown = Facts { held: None, cost: None, model: None, ..known };
    let text = say(Topic::Unresolved, &unknown);
    assert!(text.contains("What was held for it counts as spent"), "{text}");
    let text = say(Topic::Overrun, &unknown);
    assert!(text.contains("has cost more than its estimate. All of"), "{text}");
}

#[test]
fn a_page_is_escaped_and_needs_nothing_from_elsewhere() {
    let templates = templates();
    let name = "<script>alert(1)</script> & \"Sons\"".to_owned();
    let facts = Facts { tenant_name: Some(name.clone()), ..Facts::sample(Topic::BudgetThreshold) };
    let item = templates.item(Topic::BudgetThreshold, Severity::Warning, &facts).unwrap();
    let message = templates.message("key".to_owned(), None, vec![item]).unwrap();
    assert!(!message.html.contains("<script"), "{}", message.html);
    assert!(message.html.contains("&lt;script&gt;"), "{}", message.html);
    assert!(message.text.contains(&name), "{}", message.text);
    for outside in ["src=", "href=", "url(", "@import", "<link"] {
        assert!(!message.html.contains(outside), "{outside}");
    }
    assert!(message.html.contains("width=device-width"));
}

#[test]
fn several_things_are_one_message_that_says_so() {
    let templates = templates();
    let topics = [Topic::Overrun, Topic::BudgetExhausted, Topic::BudgetThreshold];
    let items =
        topics.map(|topic| templates.item(topic, topic.severity(), &Facts::sample(topic)).unwrap());
    let message = templates.message("key".to_owned(), None, items.to_vec()).unwrap();
    assert_eq!(message.subject, "Acme Corporation has used up its AI budget, and 2 more");
    assert_eq!(message.severity, Severity::Critical);
    for item in &message.items {
        assert!(message.text.contains(&item.subject) && message.html.contains(&item.subject));
    }
}

#[test]
fn a_file_replaces_a_template_and_a_wrong_one_is_told_with_its_line() {
    let check = |name: &str, text: &str, expected: Result<&str, &str>| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), text).unwrap();
        let read = Templates::new(Some(folder.path()), TimeZone::UTC);
        let subject =
            read.map(|templates| templates.sample(Topic::Test, "key".to_owned()).unwrap().subject);
        match (subject, expected) {
            (Ok(found), Ok(wanted)) => assert_eq!(found, wanted),
            (Err(found), Err(wanted)) => {
                assert!(found.to_string().contains(wanted), "{found}");
            }
            (found, _) => panic!("{found:?}"),
        }
    };
    let good = "{% set subject %}Hallo{% endset %}{% set what %}Es geht.{% endset %}\
                {% set todo %}{% endset %}";
    check("test.jinja", good, Ok("Hallo"));
    check(".hidden", "", Ok("A test from Bursar"));
    check("test.jinja", "{% set subject %}x{% endset %}", Err("does not set todo"));
    check("test.jinja", "\n{{ oops", Err("test.jinja:2"));
    check("test.jinja", "{{ nothing.there }}", Err("test.jinja:1"));
    check("tests.jinja", good, Err("no template is called so"));
    let missing = Templates::new(Some(Path::new("/no/such/folder")), TimeZone::UTC);
    assert!(missing.unwrap_err().to_string().contains("/no/such/folder"));
}
