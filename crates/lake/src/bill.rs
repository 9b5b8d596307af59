//! One bill as it is opened: its header, its FOCUS version, what each of its columns becomes.
//!
//! Owns the decision whether a file is read at all. Invariant: a file whose columns can't all be
//! told is refused before its first row.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use blake3::Hasher;
use flate2::read::MultiGzDecoder;
use focus::{Detected, Field, Version, cur, requirement::Requirement};

use crate::{
    csv::{Cutter, Refusal, check_header},
    limit::Limits,
    parquet,
    plan::{KeptColumns, Plan},
    source::{Bill, Form},
    validate,
};

/// Packed files may grow by this much before their growth is measured.
const GROWTH_FREE: u64 = 64 << 20;

/// What a file's columns are and become.
#[derive(Debug)]
pub(crate) struct Layout {
    /// How the file is called in messages.
    pub(crate) path: PathBuf,
    /// Where its bytes are.
    pub(crate) file: PathBuf,
    pub(crate) names: Vec<String>,
    pub(crate) plan: Plan,
    /// Columns that are kept as they are: where they stand, the custom column they become.
    pub(crate) kept: KeptColumns,
    /// What its charges have to keep.
    pub(crate) asked: Vec<&'static Requirement>,
    /// One line on what was found.
    pub(crate) say: String,
    /// Amounts that the file holds as floats.
    pub(crate) floats: Vec<String>,
}

/// How a delivery wants its headers read.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reading {
    /// The version that the export's manifest tells, if it does.
    pub(crate) version: Option<Version>,
    /// Whether a file may lack columns that its version must have.
    pub(crate) lacking: bool,
}

/// Reads a file's header.
pub(crate) fn layout(bill: &Bill, reading: Reading, limits: Limits) -> Result<Layout, Refusal> {
    let (names, floats) = match bill.form {
        Form::Parquet => parquet::header(&bill.file, bill.bytes, limits)?,
        Form::Csv | Form::CsvGz => {
            let counted = Counted::default();
            let names = cutter(bill, limits, &counted)?.header()?;
            (names, Vec::new())
        }
    };
    let layout = of_header(&bill.path, names, &floats, reading, limits)?;
    Ok(Layout { file: bill.file.clone(), ..layout })
}

/// What a header becomes.
pub(crate) fn of_header(
    path: &Path,
    names: Vec<String>,
    floats: &[String],
    reading: Reading,
    limits: Limits,
) -> Result<Layout, Refusal> {
    let (plan, mut kept, say) = match reading.version {
        None if cur::is_report(&names) => {
            check_header(&names)?;
            let (plan, kept) = Plan::report(&names);
            let say = format!("AWS {}, {} columns", plan.focus, names.len());
            (plan, kept, say)
        }
        _ => {
            report_lacks(&names)?;
            check_header(&names)?;
            let detected = detected(&names, reading)?;
            let (plan, kept) = Plan::focus(&names, &detected);
            (plan, kept, detected.to_string())
        }
    };
    canonical(&mut kept);
    if kept.len() > limits.columns {
        let say = format!("{} custom columns, over the limit of {}", kept.len(), limits.columns);
        return Err(Refusal { line: 1, say });
    }
    let amounts: Vec<&String> = plan.amounts().iter().map(|at| &names[*at]).collect();
    let floats = floats.iter().filter(|name| amounts.contains(name)).cloned().collect();
    let asked = validate::asked(&plan);
    let (path, file) = (path.to_owned(), path.to_owned());
    Ok(Layout { path, file, names, plan, kept, asked, say, floats })
}

/// Refuses a header that is nearly a report's.
fn report_lacks(names: &[String]) -> Result<(), Refusal> {
    let lacking = cur::missing(names);
    if lacking.is_empty() || lacking.len() == cur::MANDATORY.len() {
        return Ok(());
    }
    let lacking = lacking.join(", ");
    let say = format!("an AWS report without {lacking}; export it with these columns");
    Err(Refusal { line: 1, say })
}

/// The FOCUS version of a header that can be read.
fn detected(names: &[String], reading: Reading) -> Result<Detected, Refusal> {
    let detected = match reading.version {
        Some(version) => Detected::declared(names, version),
        None => Version::detect(names),
    };
    let refuse = |say: String| Err(Refusal { line: 1, say });
    let known = detected.fields.iter().any(|field| matches!(field, Field::Focus(_)));
    if !known {
        let say = "no column of FOCUS in the first line; is it a FOCUS bill or an AWS report \
                   with a header?";
        return refuse(say.into());
    }
    if !detected.missing.is_empty() && !reading.lacking {
        return refuse(format!("{detected}; nothing of it was read"));
    }
    Ok(detected)
}

/// Custom columns begin with a small `x_`, and each name stands once, whatever its case.
fn canonical(kept: &mut KeptColumns) {
    let mut seen = std::collections::BTreeSet::new();
    for (_, name) in kept.iter_mut() {
        if let Some(rest) = name.strip_prefix("X_") {
            *name = format!("x_{rest}");
        }
    }
    kept.retain(|(_, name)| seen.insert(name.to_ascii_lowercase()));
}

/// Bytes that went by, and their hash.
#[derive(Debug, Default, Clone)]
pub(crate) struct Counted {
    pub(crate) bytes: Arc<AtomicU64>,
    hash: Arc<Mutex<Hasher>>,
}

impl Counted {
    /// The hash of all that went by, in hexadecimal.
    pub(crate) fn hash(&self) -> String {
        let hash = match self.hash.lock() {
            Ok(hash) => hash.clone(),
            Err(poisoned) => poisoned.into_inner().clone(),
        };
        hash.finalize().to_hex().to_string()
    }

    pub(crate) fn update(&self, bytes: &[u8]) {
        self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if let Ok(mut hash) = self.hash.lock() {
            hash.update(bytes);
        }
    }

    /// Lets a whole file go by.
    pub(crate) fn file(&self, path: &Path) -> io::Result<()> {
        let mut file = File::open(path)?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(()),
                read => self.update(&buffer[..read]),
            }
        }
    }
}

struct Counting {
    file: File,
    counted: Counted,
}

impl Read for Counting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.counted.update(&buffer[..read]);
        Ok(read)
    }
}

/// Unpacked bytes, as long as there are not suspiciously many of them.
struct Growing<R> {
    inner: R,
    grown: u64,
    grown_max: u64,
    expansion: u64,
}

impl<R: Read> Read for Growing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.grown += read as u64;
        if self.grown > self.grown_max {
            let say = format!("it unpacks to over {} times its size", self.expansion);
            return Err(io::Error::new(io::ErrorKind::InvalidData, say));
        }
        Ok(read)
    }
}

/// Opens a CSV file, packed or not.
pub(crate) fn cutter(
    bill: &Bill,
    limits: Limits,
    counted: &Counted,
) -> Result<Cutter<Box<dyn Read + Send>>, Refusal> {
    let open = File::open(&bill.file);
    let file =
        open.map_err(|error| Refusal { line: 0, say: format!("it can't be opened: {error}") })?;
    let counting = Counting { file, counted: counted.clone() };
    let reader: Box<dyn Read + Send> = match bill.form {
        Form::CsvGz => Box::new(Growing {
            inner: MultiGzDecoder::new(BufReader::with_capacity(1 << 18, counting)),
            grown: 0,
            grown_max: bill.bytes.saturating_mul(limits.expansion).max(GROWTH_FREE),
            expansion: limits.expansion,
        }),
        Form::Csv | Form::Parquet => Box::new(counting),
    };
    Ok(Cutter::new(reader, limits))
}
