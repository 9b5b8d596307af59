//! Answers: one report, as a table for people, as JSON or as CSV for programs.
//!
//! Money is exact in JSON (a number with all its digits) and CSV; a table shows cents, and less
//! where there is less than a cent.

use std::{
    fmt,
    io::{self, Write},
};

use clap::ValueEnum;
use comfy_table::{
    Attribute, CellAlignment, Color, ContentArrangement, Table, TableComponent, presets,
};
use jiff::Timestamp;
use money::Money;

#[cfg(test)]
mod tests;

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For programs: an array of objects, or an object with a summary.
    Json,
    /// For spreadsheets.
    Csv,
}

/// How a thing stands, as a colour says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Green.
    Good,
    /// Yellow.
    Warning,
    /// Red.
    Bad,
}

/// One value of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Nothing.
    None,
    /// A word or a name.
    Text(String),
    /// A word that says how things stand.
    Word(String, Tone),
    /// A number of things.
    Count(u64),
    /// US dollars.
    Money(Money),
    /// US dollars of which every digit matters, to people too.
    Exact(Money),
    /// Any number, of any currency.
    Decimal(focus::Decimal),
    /// Hundredths of a percent.
    Percent(i128),
    /// An instant.
    Time(Timestamp),
    /// Yes or no.
    Flag(bool),
}

impl Cell {
    /// A text cell.
    pub fn text(text: impl ToString) -> Self {
        Self::Text(text.to_string())
    }

    /// A text cell, or nothing.
    pub fn maybe(text: Option<impl ToString>) -> Self {
        text.map_or(Self::None, |text| Self::Text(text.to_string()))
    }

    fn for_people(&self) -> String {
        match self {
            Self::None => "–".to_owned(),
            Self::Text(text) | Self::Word(text, _) => text.clone(),
            Self::Count(count) => grouped(&count.to_string()),
            Self::Money(money) => dollars(*money),
            Self::Exact(money) => format!("${money}"),
            Self::Decimal(number) => amount(*number),
            Self::Percent(hundredths) => format!("{} %", fixed(*hundredths, 2)),
            Self::Time(at) => at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            Self::Flag(flag) => if *flag { "yes" } else { "no" }.to_owned(),
        }
    }

    fn for_csv(&self) -> String {
        match self {
            Self::None => String::new(),
            Self::Text(text) | Self::Word(text, _) => text.clone(),
            Self::Count(count) => count.to_string(),
            Self::Money(money) | Self::Exact(money) => money.fixed9(),
            Self::Decimal(number) => number.to_string(),
            Self::Percent(hundredths) => fixed(*hundredths, 2),
            Self::Time(at) => at.to_string(),
            Self::Flag(flag) => flag.to_string(),
        }
    }

    fn for_json(&self) -> Result<String, serde_json::Error> {
        match self {
            Self::None => Ok("null".to_owned()),
            Self::Text(_) | Self::Word(..) | Self::Time(_) => {
                serde_json::to_string(&self.for_csv())
            }
            Self::Money(money) | Self::Exact(money) => Ok(money.to_string()),
            Self::Count(_) | Self::Decimal(_) | Self::Percent(_) | Self::Flag(_) => {
                Ok(self.for_csv())
            }
        }
    }

    fn is_number(&self) -> bool {
        matches!(
            self,
            Self::Count(_) | Self::Money(_) | Self::Exact(_) | Self::Decimal(_) | Self::Percent(_)
        )
    }
}

/// Dollars for people: `$1,234.50`, and `$0.0105` where cents don't show it. Rounds half-even to
/// the cent from a dollar on.
pub fn dollars(money: Money) -> String {
    const CENT: i128 = 10_000_000;
    let nanos = money.nanos();
    let sign = if nanos < 0 { "-" } else { "" };
    let size = nanos.abs();
    if size % CENT != 0 && size < 100 * CENT {
        return format!("{sign}${}", Money::from_nanos(size));
    }
    let (whole, rest) = (size / CENT, size % CENT);
    let up = rest * 2 > CENT || (rest * 2 == CENT && whole % 2 == 1);
    let cents = whole + i128::from(up);
    format!("{sign}${}.{:02}", grouped(&(cents / 100).to_string()), cents % 100)
}

/// A number for people: with cents from one on, with six decimals below. Rounds half-even.
fn amount(number: focus::Decimal) -> String {
    let exact = number.to_string();
    let (sign, digits) = exact.strip_prefix('-').map_or(("", exact.as_str()), |rest| ("-", rest));
    if !digits.contains('.') {
        return format!("{sign}{}", grouped(digits));
    }
    let places = if digits.starts_with("0.") { 6 } else { 2 };
    let rounded = number.rounded(places).to_string();
    let rounded = rounded.strip_prefix('-').unwrap_or(&rounded);
    let (whole, part) = rounded.split_once('.').unwrap_or((rounded, ""));
    format!("{sign}{}.{part:0<2}", grouped(whole))
}

fn fixed(value: i128, decimals: u32) -> String {
    let unit = 10_i128.pow(decimals);
    let sign = if value < 0 { "-" } else { "" };
    let (whole, part) = ((value / unit).abs(), (value % unit).abs());
    format!("{sign}{whole}.{part:0width$}", width = decimals as usize)
}

fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Rows under named columns, and what they add up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What a row is, in the plural: the rows' name where JSON needs one.
    pub name: &'static str,
    /// Column names, in snake case.
    pub columns: Vec<String>,
    /// The rows; each has as many cells as there are columns.
    pub rows: Vec<Vec<Cell>>,
    /// Facts about the whole.
    pub summary: Vec<(String, Cell)>,
}

impl Report {
    /// A report without rows yet.
    pub fn new(name: &'static str, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|&column| column.to_owned()).collect();
        Self { name, columns, rows: Vec::new(), summary: Vec::new() }
    }

    /// Puts facts about the whole below the rows.
    pub fn sum_up<const N: usize>(&mut self, facts: [(&str, Cell); N]) {
        self.summary.extend(facts.map(|(name, cell)| (name.to_owned(), cell)));
    }

    fn json(&self) -> Result<String, serde_json::Error> {
        let columns = || self.columns.iter().map(String::as_str);
        let rows = self.rows.iter().map(|row| object(columns().zip(row)));
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        // A line a row, so that the answer can be read and compared line by line.
        let rows = format!("[{}]", rows.join(",\n "));
        if self.summary.is_empty() {
            return Ok(rows);
        }
        let summary = object(self.summary.iter().map(|(name, cell)| (name.as_str(), cell)))?;
        Ok(format!("{{\"summary\": {summary},\n\"{}\": {rows}}}", self.name))
    }
}

fn object<'a>(
    cells: impl Iterator<Item = (&'a str, &'a Cell)>,
) -> Result<String, serde_json::Error> {
    let fields = cells
        .map(|(name, cell)| Ok(format!("{}:{}", serde_json::to_string(name)?, cell.for_json()?)))
        .collect::<Result<Vec<_>, serde_json::Error>>()?;
    Ok(format!("{{{}}}", fields.join(",")))
}

/// A line on the standard error, for whoever reads it: that it is closed is no failure.
pub fn complain(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Prints reports.
#[derive(Debug, Clone, Copy)]
pub struct Printer {
    /// In this form.
    pub format: Format,
    /// Whether tables have colours.
    pub colored: bool,
}

impl Printer {
    /// Prints a report to the standard output.
    pub fn print(&self, report: &Report) -> anyhow::Result<()> {
        self.write(report, &mut io::stdout().lock())
    }

    /// Prints a sentence for people; nothing where a program reads.
    pub fn say(&self, sentence: &str) -> anyhow::Result<()> {
        if self.format == Format::Table {
            writeln!(io::stdout().lock(), "{sentence}")?;
        }
        Ok(())
    }

    /// Writes a report.
    pub fn write(&self, report: &Report, out: &mut dyn Write) -> anyhow::Result<()> {
        match self.format {
            Format::Json => writeln!(out, "{}", report.json()?)?,
            Format::Csv => {
                let mut csv = csv::Writer::from_writer(out);
                csv.write_record(&report.columns)?;
                for row in &report.rows {
                    csv.write_record(row.iter().map(Cell::for_csv))?;
                }
                csv.flush()?;
            }
            Format::Table => {
                if !report.rows.is_empty() || report.summary.is_empty() {
                    writeln!(out, "{}", self.table(report))?;
                }
                let width = report.summary.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
                for (name, cell) in &report.summary {
                    let name = name.replace('_', " ");
                    writeln!(out, "{name:width$}  {}", cell.for_people())?;
                }
            }
        }
        Ok(())
    }

    fn table(&self, report: &Report) -> Table {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
        table.remove_style(TableComponent::HorizontalLines);
        table.remove_style(TableComponent::MiddleIntersections);
        table.set_content_arrangement(ContentArrangement::Dynamic);
        if self.colored {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table.set_header(report.columns.iter().map(|name| {
            comfy_table::Cell::new(name.replace('_', " ")).add_attribute(Attribute::Bold)
        }));
        for row in &report.rows {
            table.add_row(row.iter().map(table_cell));
        }
        table
    }
}

fn table_cell(cell: &Cell) -> comfy_table::Cell {
    let shown = comfy_table::Cell::new(cell.for_people());
    match cell {
        Cell::Word(_, Tone::Good) => shown.fg(Color::Green),
        Cell::Word(_, Tone::Warning) => shown.fg(Color::Yellow),
        Cell::Word(_, Tone::Bad) => shown.fg(Color::Red),
        cell if cell.is_number() => shown.set_alignment(CellAlignment::Right),
        _ => shown,
    }
}
