//! The tables of docs/performance.md are made from docs/performance.json, which `make bench JSON=docs/performance.json` writes. Each stands between
//! two comments; `UPDATE_EXPECT=1` writes those that differ. `figures: all of SUBJECT` is one table of what was measured of the same contenders.

use std::fmt::Write;
use std::fs;

use serde_json::Value;

use super::root;

const BEGIN: &str = "<!-- figures: ";
const END: &str = "<!-- end of figures -->";

/// Before a subject whose tables are shown as one.
const ALL_OF: &str = "all of ";

/// Columns that such a table leaves out.
const LEFT_OUT: [&str; 3] = ["best", "worst", "p99 ms"];

/// Returns a table of figures as the document has it.
fn drawn(table: &Value) -> String {
    let rows = table["rows"].as_array().unwrap();
    let mut columns: Vec<_> = table["columns"].as_array().unwrap().iter().map(text).collect();
    // Where figures are said with their unit, the ratio is one of them.
    let has_ratio = rows.iter().any(|row| row["figures"][0].is_number());
    let has_target = rows.iter().any(|row| row["target"].is_string());
    columns.extend(has_ratio.then(|| "ratio".to_owned()));
    columns.extend(has_target.then(|| "target".to_owned()));
    let mut out = head(&table["taken"], &columns);
    for row in rows {
        let mut cells: Vec<_> = row["figures"].as_array().unwrap().iter().map(text).collect();
        cells.truncate(table["columns"].as_array().unwrap().len());
        if has_ratio {
            cells.push(row["ratio"].as_f64().map_or(String::new(), |ratio| format!("{ratio:.2}×")));
        }
        if has_target {
            cells.push(target(row));
        }
        writeln!(out, "| {} | {} |", text(&row["name"]), cells.join(" | ")).unwrap();
    }
    out
}

/// Returns the first lines of a table.
fn head(taken: &Value, columns: &[String]) -> String {
    let mut out = format!("| {}, {} rounds", text(&taken["date"]), taken["rounds"]);
    if let Some(load) = taken["load"].as_f64() {
        write!(out, ", load {load:.0} on {} processors", taken["processors"]).unwrap();
    }
    out + &format!(" | {} |\n|{}\n", columns.join(" | "), "---|".repeat(columns.len() + 1))
}

fn target(row: &Value) -> String {
    let missed = if row["met"] == false { ": **missed**" } else { "" };
    format!("{}{missed}", row["target"].as_str().unwrap_or(""))
}

/// Returns the tables of a subject as one, with a column for each contender and a row for each kind of figure.
fn drawn_as_one(tables: &[&Value]) -> String {
    let rows = |table: &Value| table["rows"].as_array().unwrap().clone();
    let names = |table: &Value| rows(table).iter().map(|row| text(&row["name"])).collect::<Vec<_>>();
    let mut contenders = tables.iter().map(|table| names(table)).max_by_key(Vec::len).unwrap();
    let taken = &tables[0]["taken"];
    let (mut body, mut has_target) = (String::new(), false);
    for table in tables {
        let title = text(&table["title"]);
        assert_eq!(table["taken"]["date"], taken["date"], "`{title}` was taken in another run");
        let strange: Vec<_> = names(table).into_iter().filter(|name| !contenders.contains(name)).collect();
        assert!(strange.is_empty(), "`{title}` has other contenders: {strange:?}");
        let title = ["Opened: ", "Latency: "]
            .iter()
            .fold(title.as_str(), |title, word| title.trim_start_matches(word));
        for (at, column) in table["columns"].as_array().unwrap().iter().map(text).enumerate() {
            let figure = |name: &String| {
                let row = rows(table).into_iter().find(|row| text(&row["name"]) == *name);
                row.and_then(|row| row["figures"][at].as_f64()).map_or(String::new(), short)
            };
            let cells: Vec<_> = contenders.iter().map(figure).collect();
            if LEFT_OUT.contains(&column.as_str()) || cells.iter().all(String::is_empty) {
                continue;
            }
            let targets: String = rows(table).iter().filter(|row| row["of"] == column).map(target).collect();
            has_target |= !targets.is_empty();
            writeln!(body, "| {title} ({column}) | {} | {targets} |", cells.join(" | ")).unwrap();
        }
    }
    assert!(has_target, "a table of contenders has a target");
    contenders.push("target".to_owned());
    head(taken, &contenders) + &body
}

/// Returns a figure with as many digits as it is worth.
fn short(figure: f64) -> String {
    match figure.abs() {
        small if small < 1.0 => format!("{}", (figure * 1000.0).round() / 1000.0),
        small if small < 10.0 => format!("{}", (figure * 100.0).round() / 100.0),
        small if small < 100.0 => format!("{}", (figure * 10.0).round() / 10.0),
        _ => format!("{figure:.0}"),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.as_f64().map_or(String::new(), |figure| match figure.abs() {
            small if small < 1.0 => short(figure),
            small if small < 10.0 => format!("{figure:.2}"),
            _ => format!("{figure:.0}"),
        }),
        _ => String::new(),
    }
}

#[test]
fn the_tables_of_the_performance_page_are_those_that_were_measured() {
    let (page, figures) = (root().join("docs/performance.md"), root().join("docs/performance.json"));
    let tables: Vec<Value> = serde_json::from_slice(&fs::read(figures).unwrap()).unwrap();
    let before = fs::read_to_string(&page).unwrap();
    let (mut after, mut rest, mut shown) = (String::new(), before.as_str(), 0);
    while let Some((front, begun)) = rest.split_once(BEGIN) {
        let (title, block) = begun.split_once(" -->\n").unwrap();
        let (_, behind) = block.split_once(END).expect("a table has its end");
        let named = |table: &&Value| match title.strip_prefix(ALL_OF) {
            Some(subject) => table["subject"] == subject,
            None => table["title"] == title,
        };
        let these: Vec<_> = tables.iter().filter(named).collect();
        let first = these.first().unwrap_or_else(|| panic!("docs/performance.json has no table `{title}`"));
        let drawn = if title.starts_with(ALL_OF) { drawn_as_one(&these) } else { drawn(first) };
        write!(after, "{front}{BEGIN}{title} -->\n\n{drawn}\n{END}").unwrap();
        (rest, shown) = (behind, shown + these.len());
    }
    after.push_str(rest);
    assert_eq!(shown, tables.len(), "a table of docs/performance.json is not in the document");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&page, &after).unwrap();
    }
    let differs = before.lines().zip(after.lines()).find(|(old, new)| old != new);
    assert!(
        std::env::var_os("UPDATE_EXPECT").is_some() || before == after,
        "docs/performance.md differs from what was measured; UPDATE_EXPECT=1 writes it: {differs:?}"
    );
}
