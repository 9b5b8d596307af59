use super::edges::{self, Dependency, Member};
use super::{File, documents, metrics, sizes, source};

/// The findings as text, one a line, for what they say to be read in the test.
fn shown(findings: Vec<super::Finding>) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

fn member(name: &str, dependencies: &[&str]) -> Member {
    let of = |text: &&str| Dependency {
        name: text.trim_start_matches("dev:").to_owned(),
        dev: text.starts_with("dev:"),
    };
    Member { name: name.to_owned(), dependencies: dependencies.iter().map(of).collect() }
}

fn edges_broken(name: &str, dependencies: &[&str]) -> usize {
    edges::check(&[member(name, dependencies)]).len()
}

#[test]
fn arrows_point_inward() {
    for (name, dependencies, broken) in [
        ("money", &["serde"][..], 0),
        ("money", &["focus"], 1),
        ("focus", &["money"], 0),
        ("budget", &["money", "focus", "async-trait", "dev:tokio"], 0),
        ("budget", &["tokio"], 1),
        ("forecast", &["budget"], 1),
        ("store", &["budget", "focus", "rusqlite", "tokio-postgres", "tokio"], 0),
        ("store", &["api"], 1),
        ("lake", &["dev:store"], 1),
        ("server", &["api", "budget", "money", "axum"], 0),
        ("server", &["store"], 1),
        ("server", &["dev:store"], 1),
        ("meter", &["budget", "api", "dev:server"], 0),
        ("meter", &["server"], 1),
        ("api", &["dev:server"], 1),
        ("server", &["bursar"], 1),
        ("bursar", &["server", "store", "api", "budget", "anyhow"], 0),
        ("bursar", &["xtask"], 1),
        ("xtask", &["store", "budget", "money", "focus", "anyhow"], 0),
        ("xtask", &["server"], 1),
    ] {
        assert_eq!(edges_broken(name, dependencies), broken, "{name} → {dependencies:?}");
    }
}

#[test]
fn each_outside_system_has_one_crate() {
    assert_eq!(edges_broken("bursar", &["rusqlite"]), 1);
    assert_eq!(edges_broken("server", &["dev:deadpool-postgres"]), 1);
    assert_eq!(edges_broken("bursar", &["aws-sdk-s3", "datafusion-common", "kube"]), 3);
    assert_eq!(edges_broken("store", &["anyhow"]), 1);
}

#[test]
fn a_crate_without_a_ring_is_named() {
    let said = shown(edges::check(&[member("utils", &[])]));
    assert!(said[0].starts_with("crates/utils/Cargo.toml: crate `utils` has no ring"), "{said:?}");
}

#[test]
fn a_chain_of_seven_crates_is_too_long() {
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    let line = |count: usize| -> Vec<Member> {
        let of =
            |i: usize| member(names[i], if i + 1 < count { &names[i + 1..i + 2] } else { &[] });
        (0..count).map(of).collect()
    };
    let chains = |count| {
        let said = shown(edges::check(&line(count)));
        said.iter().filter(|s| s.contains("chain of over")).count()
    };
    assert_eq!((chains(6), chains(7)), (0, 1));
}

#[test]
fn members_are_read_from_metadata() {
    let metadata = serde_json::json!({"packages": [{"name": "store", "dependencies": [
        {"name": "tokio", "kind": null}, {"name": "tempfile", "kind": "dev"}]}]});
    let members = edges::members(&metadata).unwrap();
    assert_eq!(members[0].name, "store");
    assert_eq!(members[0].dependencies.iter().map(|d| d.dev).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn long_files_fail_and_longish_ones_warn() {
    let of = |path: &str, lines: usize| File::of(path, &"x\n".repeat(lines));
    for (path, lines, expected) in [
        ("a/src/b.rs", 400, None),
        ("a/src/b.rs", 401, Some(true)),
        ("a/src/b.rs", 600, Some(true)),
        ("a/src/b.rs", 601, Some(false)),
        ("a/src/main.rs", 60, None),
        ("a/src/main.rs", 61, Some(false)),
        ("a/src/router.rs", 151, Some(false)),
        ("ARCHITECTURE.md", 200, None),
        ("ARCHITECTURE.md", 201, Some(false)),
        ("docs/long.md", 5_000, None),
    ] {
        let warnings: Vec<_> = sizes::check(&[of(path, lines)]).iter().map(|f| f.warning).collect();
        assert_eq!(warnings, Vec::from_iter(expected), "{path} with {lines} lines");
    }
}

#[test]
fn the_root_and_the_crates_stay_few() {
    let files = |pattern: &dyn Fn(usize) -> String, count: usize| -> Vec<File> {
        (0..count).map(|i| File::of(&pattern(i), "")).collect()
    };
    let in_root = |i: usize| format!("entry{i}/file");
    let in_crates = |i: usize| format!("crates/c{i}/Cargo.toml");
    assert_eq!(sizes::check(&files(&in_root, 22)).len(), 0);
    assert_eq!(sizes::check(&files(&in_root, 23)).len(), 1);
    assert_eq!(sizes::check(&files(&in_crates, 16)).len(), 0);
    assert_eq!(sizes::check(&files(&in_crates, 17)).len(), 1);
}

#[test]
fn banned_words_are_found_where_they_are_banned() {
    let tests = "crates/a/src/tests.rs";
    let sleep = concat!("std::thread::", "sleep(d);");
    for (path, text, found) in [
        ("crates/a/src/lib.rs", concat!("#[al", "low(dead_code)]"), 1),
        ("crates/a/src/lib.rs", concat!("#![al", "low(dead_code)]"), 1),
        ("crates/a/src/lib.rs", "#[expect(dead_code, reason = \"…\")]", 0),
        (tests, concat!("#[ig", "nore]"), 1),
        ("crates/a/src/lib.rs", concat!("// TO", "DO: later"), 1),
        ("web/a.js", concat!("// FIX", "ME"), 1),
        ("crates/a/src/lib.rs", concat!("MAS", "TO", "DON"), 0),
        (tests, sleep, 1),
        ("crates/a/tests/all.rs", concat!("tokio::time::", "sleep(d)"), 1),
        ("crates/a/src/lib.rs", sleep, 0),
        ("crates/budget/src/reservation.rs", "Timestamp::now()", 1),
        ("crates/budget/src/tests.rs", "Timestamp::now()", 0),
        ("crates/server/src/lib.rs", "Timestamp::now()", 0),
        ("docs/a.md", concat!("see /wo", "rk/main"), 1),
        ("docs/a.md", concat!("see https://example.com/wo", "rk/main"), 0),
        ("package-lock.json", concat!("\"https://registry.", "npmjs.org/a\""), 1),
    ] {
        assert_eq!(source::check(&[File::of(path, text)]).len(), found, "{path}: {text}");
    }
}

#[test]
fn a_finding_says_file_line_and_what_to_do() {
    let text = concat!("fn f() {\n    todo", "!()\n}\n");
    let said = shown(source::check(&[File::of("crates/a/src/lib.rs", text)]));
    let expected = concat!(
        "crates/a/src/lib.rs:2: `todo",
        "!(`: write it, or leave it out until it is wanted"
    );
    assert_eq!(said, [expected]);
}

#[test]
fn a_dependency_has_a_comment_alone_or_over_its_group() {
    let manifest = "[workspace.dependencies]\n# Group.\na = \"1\"\nb = \"1\"\n\nc = \"1\"\n\
                    # Own.\nd = \"1\"\n[other]\ne = \"1\"\n";
    let said = shown(source::check(&[File::of("Cargo.toml", manifest)]));
    assert_eq!(said, ["Cargo.toml:6: `c` has no comment above: say what it is for"]);
}

#[test]
fn a_member_names_no_version() {
    let manifest = "[dependencies]\na.workspace = true\nb = { workspace = true }\nc = \"1\"\n\
                    [features]\nd = []\n";
    let findings = source::check(&[File::of("crates/a/Cargo.toml", manifest)]);
    assert_eq!(findings.iter().map(|f| f.line).collect::<Vec<_>>(), [4]);
}

#[test]
fn packages_come_from_the_public_index() {
    let lock = "source = \"registry+https://github.com/rust-lang/crates.io-index\"\n\
                source = \"git+https://example.com/a\"\n";
    let findings = source::check(&[File::of("Cargo.lock", lock)]);
    assert_eq!(findings.iter().map(|f| f.line).collect::<Vec<_>>(), [2]);
}

#[test]
fn sqlite_and_postgres_list_the_same_files() {
    let of = |paths: &[&str]| paths.iter().map(|path| File::of(path, "")).collect::<Vec<_>>();
    let pair = ["crates/store/src/sqlite/entry.rs", "crates/store/src/postgres/entry.rs"];
    assert_eq!(source::check(&of(&pair)).len(), 0);
    let said = shown(source::check(&of(&pair[..1])));
    assert!(said[0].starts_with("crates/store/src/postgres/entry.rs: "), "{said:?}");
}

#[test]
fn links_lead_somewhere() {
    let guide = File::of("docs/guide/a.md", "# A guide\n## Two words: here\n## Same\n## Same\n");
    for (link, good) in [
        ("docs/guide/a.md", true),
        ("docs/guide", true),
        ("./docs/guide/", true),
        ("/docs/guide/a.md", true),
        ("docs/guide/b.md", false),
        ("../out.md", false),
        ("docs/guide/a.md#two-words-here", true),
        ("docs/guide/a.md#same-1", true),
        ("docs/guide/a.md#three", false),
        ("#bursar", true),
        ("#other", false),
        ("https://example.com/none", true),
    ] {
        let readme = File::of("README.md", &format!("# Bursar\n\n[text]({link})\n"));
        let guide = File::of(&guide.path, guide.text());
        let said = shown(documents::check(&[readme, guide]));
        assert_eq!(said.is_empty(), good, "{link}: {said:?}");
    }
}

#[test]
fn links_in_code_are_left_alone() {
    let text = "`[a](b.md)`\n```\n[a](b.md)\n```\n[a](b.md)\n";
    let findings = documents::check(&[File::of("README.md", text)]);
    assert_eq!(findings.iter().map(|f| f.line).collect::<Vec<_>>(), [5]);
}

#[test]
fn a_row_of_the_page_of_metrics_says_what_the_constant_says() {
    let said = |page: &str| {
        let code = "    /// Gauge by `tenant_id` and\n    /// `model`: US dollars.\n    pub const A: &str = \
                    \"ai_usd\";\n/// Other: words.\nconst B: &str = \"b_c\";\n";
        let page = File::of("docs/reference/metrics.md", page);
        shown(metrics::check(&[File::of("crates/server/src/metrics.rs", code), page]))
    };
    assert_eq!(said("| `ai_usd` | gauge | `tenant_id`, `model` | US dollars |\n"), [""; 0]);
    let [stale] = said("| `ai_usd` | gauge | | dollars |\n").try_into().unwrap();
    assert!(stale.contains("cargo xtask metrics"), "{stale}");
    let [gone, missing] = said("| `ai_eur` | gauge | | x |\n").try_into().unwrap();
    assert!(gone.contains("ai_eur") && missing.contains("ai_usd"), "{gone} {missing}");
}
