//! Tables of figures, with a ratio to the first row.

use std::fmt;

use serde_json::{Value, json};

use super::targets::judge;
use crate::record::{Measured, row};

/// Figures of contenders that took turns.
pub(crate) struct Sheet {
    pub(crate) title: String,
    /// Names of the columns; the ratio is of the first one.
    pub(crate) columns: &'static [&'static str],
    pub(crate) rows: Vec<(&'static str, Vec<f64>)>,
}

impl Measured for Sheet {
    fn table(&self) -> Value {
        let first = |figures: &[f64]| figures.first().copied().unwrap_or(f64::NAN);
        let base = self.rows.first().map_or(f64::NAN, |(_, figures)| first(figures));
        let figure = |row: &str, column: &str| {
            let column = self.columns.iter().position(|name| *name == column);
            let row = self.rows.iter().find(|(name, _)| *name == row);
            row.zip(column)
                .and_then(|((_, figures), column)| figures.get(column).copied())
                .unwrap_or(f64::NAN)
        };
        let rows = self.rows.iter().map(|(name, figures)| {
            let mut row = row(name, figures, Some(first(figures) / base));
            if let Some(judged) = judge(&self.title, name, figure) {
                row.insert("target".to_owned(), judged.text.into());
                row.insert("of".to_owned(), judged.column.into());
                row.insert("met".to_owned(), judged.is_met.into());
            }
            row
        });
        json!({ "title": self.title, "columns": self.columns, "rows": rows.collect::<Vec<_>>() })
    }
}

impl fmt::Display for Sheet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        write!(f, "  {:<30}", "")?;
        for column in self.columns {
            write!(f, " {column:>14}")?;
        }
        writeln!(f, " {:>9}", "ratio")?;
        let first = |row: &[f64]| row.first().copied().unwrap_or(f64::NAN);
        let base = self.rows.first().map_or(f64::NAN, |(_, row)| first(row));
        for (name, row) in &self.rows {
            write!(f, "  {name:<30}")?;
            for figure in row {
                match figure {
                    _ if figure.is_nan() => write!(f, " {:>14}", "–")?,
                    _ => write!(f, " {figure:>14.*}", if figure.abs() < 10.0 { 3 } else { 1 })?,
                }
            }
            match first(row) / base {
                ratio if ratio.is_nan() => writeln!(f, " {:>9}", "–")?,
                ratio => writeln!(f, " {ratio:>8.2}×")?,
            }
        }
        Ok(())
    }
}

/// Returns the figure below which `share` of all lie.
pub(crate) fn quantile(figures: &mut [f64], share: f64) -> f64 {
    figures.sort_by(f64::total_cmp);
    let last = figures.len().saturating_sub(1);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in a list of thousands"
    )]
    let at = (last as f64 * share).round() as usize;
    figures.get(at).copied().unwrap_or(f64::NAN)
}

/// Returns the one in the middle.
pub(crate) fn median(figures: &mut [f64]) -> f64 {
    quantile(figures, 0.5)
}
