//! The tables of docs/performance.md are made from docs/performance.json, which `make bench JSON=docs/performance.json` writes. Each stands between
//! two comments; `UPDATE_EXPECT=1` writes those that differ.

use std::fmt::Write;
use std::fs;

use serde_json::Value;

use super::root;

const BEGIN: &str = "<!-- figures: ";
const END: &str = "<!-- end of figures -->";

/// Returns a table of figures as the document has it.
fn drawn(table: &Value) -> String {
    let rows = table["rows"].as_array().unwrap();
    let mut columns: Vec<_> = table["columns"].as_array().unwrap().iter().map(text).collect();
    // Where figures are said with their unit, the ratio is one of them.
    let has_ratio = rows.iter().any(|row| row["figures"][0].is_number());
    let has_target = rows.iter().any(|row| row["target"].is_string());
    columns.extend(has_ratio.then(|| "ratio".to_owned()));
    columns.extend(has_target.then(|| "target".to_owned()));
    let taken = &table["taken"];
    let mut out = format!("| {}, {} rounds", text(&taken["date"]), taken["rounds"]);
    if let Some(load) = taken["load"].as_f64() {
        write!(out, ", load {load:.0} on {} processors", taken["processors"]).unwrap();
    }
    writeln!(out, " | {} |\n|{}", columns.join(" | "), "---|".repeat(columns.len() + 1)).unwrap();
    for row in rows {
        let mut cells: Vec<_> = row["figures"].as_array().unwrap().iter().map(text).collect();
        cells.truncate(table["columns"].as_array().unwrap().len());
        if has_ratio {
            cells.push(row["ratio"].as_f64().map_or(String::new(), |ratio| format!("{ratio:.2}×")));
        }
        if has_target {
            let missed = if row["met"] == false { ": **missed**" } else { "" };
            cells.push(format!("{}{missed}", row["target"].as_str().unwrap_or("")));
        }
        writeln!(out, "| {} | {} |", text(&row["name"]), cells.join(" | ")).unwrap();
    }
    out
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.as_f64().map_or(String::new(), |figure| match figure.abs() {
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
        let table = tables.iter().find(|table| table["title"] == title);
        let table = table.unwrap_or_else(|| panic!("docs/performance.json has no table `{title}`"));
        write!(after, "{front}{BEGIN}{title} -->\n\n{}\n{END}", drawn(table)).unwrap();
        (rest, shown) = (behind, shown + 1);
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
