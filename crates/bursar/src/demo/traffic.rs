//! What the tenants ask: a full month and the one that runs, weekday and hour by hour.
//!
//! The running month tells every tenant's story whatever day it is: what it spends is spread over
//! the time that has passed, be it three weeks or three minutes. The same seed and moment make the
//! same traffic.

use anyhow::Context as _;
use focus::{Attribution, ModelName, ReportType, TenantId, UserId};
use jiff::{Timestamp, ToSpan, civil::Weekday, tz::TimeZone};
use money::{Money, PriceBook, Rounding, ServiceTier, TokenUsage};

use super::tenants::{COMPANIES, Company, MODELS, REPORTS, Story, USERS};
use crate::seed::Random;

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// When.
    pub at: Timestamp,
    /// Who, with what, for what.
    pub call: Attribution,
    /// What it uses.
    pub usage: TokenUsage,
}

/// The time that the demo covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first instant of the month before.
    pub begin: Timestamp,
    /// The first instant of the running month.
    pub month: Timestamp,
    /// Now.
    pub now: Timestamp,
}

impl Span {
    /// The month before `now`'s and its own, in UTC.
    pub fn at(now: Timestamp) -> anyhow::Result<Self> {
        let month = now.to_zoned(TimeZone::UTC).first_of_month()?.start_of_day()?;
        let begin = month.checked_sub(1.month())?;
        Ok(Self { begin: begin.timestamp(), month: month.timestamp(), now })
    }
}

/// All calls, in the order of time.
pub fn traffic(seed: u64, span: Span, book: &PriceBook) -> anyhow::Result<Vec<Request>> {
    let mut random = Random::new(seed);
    let mut all = Vec::new();
    for company in &COMPANIES {
        let mut maker = Maker { random: Random::new(random.bits()), company, book };
        // The month before was an ordinary one, and there were fewer calls.
        let last = 15 + maker.random.bits() % 20;
        all.extend(maker.month(
            span.begin,
            span.month,
            last as i64,
            company.requests / 3,
            false,
        )?);
        let (percent, runaway) = match company.story {
            Story::Spent(percent) => (percent, false),
            Story::Over => (118, false),
            Story::Runaway(percent) => (percent, true),
        };
        let percent = i64::from(percent);
        all.extend(maker.month(span.month, span.now, percent, company.requests, runaway)?);
    }
    all.sort_by(|a, b| (a.at, &a.call.tenant).cmp(&(b.at, &b.call.tenant)));
    Ok(all)
}

struct Maker<'a> {
    random: Random,
    company: &'a Company,
    book: &'a PriceBook,
}

impl Maker<'_> {
    /// A month's calls, so many in `[from, to)`, that cost `percent` of the budget.
    fn month(
        &mut self,
        from: Timestamp,
        to: Timestamp,
        percent: i64,
        count: usize,
        runaway: bool,
    ) -> anyhow::Result<Vec<Request>> {
        let rhythm = Rhythm::new(from, to);
        let mut requests = Vec::with_capacity(count);
        for _ in 0..count {
            let at = rhythm.at(self.random.unit())?;
            requests.push(self.request(at)?);
        }
        if runaway {
            self.run_away(&mut requests, &rhythm)?;
        }
        let target = self.company.limit * percent / 100;
        self.scale(&mut requests, Money::from_dollars(target))?;
        Ok(requests)
    }

    fn request(&mut self, at: Timestamp) -> anyhow::Result<Request> {
        let models = self.company.models.map(f64::from);
        let (report, _, length) = REPORTS[self.random.pick(&REPORTS.map(|report| report.1))];
        let user = USERS[self.random.pick(&[5.0, 4.0, 3.0, 2.0, 1.0, 4.0])];
        let call = Attribution {
            tenant: TenantId::parse(self.company.id)?,
            model: ModelName::parse(MODELS[self.random.pick(&models)])?,
            user: Some(UserId::parse(user)?),
            report_type: Some(ReportType::parse(report)?),
        };
        let input = 40_000.0 * length * self.spread();
        let output = 8_000.0 * length * self.spread();
        let usage =
            TokenUsage { input: input as u64, output: output as u64, ..TokenUsage::default() };
        Ok(Request { at, call, usage })
    }

    /// Around 1, seldom above 4 or below a quarter. Four multiplications instead of a power, so
    /// that every machine arrives at the same bits.
    fn spread(&mut self) -> f64 {
        let bell = (1.0 + self.random.bell() * 0.12).clamp(0.5, 1.5);
        bell * bell * bell * bell
    }

    /// One user's job asks again and again on one day: two in five of the requests move there.
    fn run_away(&mut self, requests: &mut [Request], rhythm: &Rhythm) -> anyhow::Result<()> {
        let user = Some(UserId::parse("scheduler")?);
        for request in requests.iter_mut().step_by(5) {
            request.call.user.clone_from(&user);
            request.usage.input *= 4;
            request.at = rhythm.at(0.62 + self.random.unit() * 0.02)?;
        }
        Ok(())
    }

    /// Makes the requests longer or shorter alike, until they cost the target together.
    fn scale(&self, requests: &mut [Request], target: Money) -> anyhow::Result<()> {
        let mut sum = Money::ZERO;
        for request in requests.iter() {
            sum = sum.checked_add(self.cost(request)?).context("the demo costs too much")?;
        }
        let scaled = |tokens: u64| {
            let tokens = i128::from(tokens) * target.nanos() / sum.nanos().max(1);
            u64::try_from(tokens).unwrap_or(u64::MAX).max(1)
        };
        for request in requests {
            let usage = &mut request.usage;
            (usage.input, usage.output) = (scaled(usage.input), scaled(usage.output));
        }
        Ok(())
    }

    fn cost(&self, request: &Request) -> anyhow::Result<Money> {
        let model = request.call.model.as_str();
        let tier = ServiceTier::Standard;
        Ok(self.book.charge(model, &request.usage, tier, request.at, Rounding::HalfEven)?)
    }
}

/// When people work: hours, each with its weight, cut to a stretch of time.
struct Rhythm {
    hours: Vec<(Timestamp, Timestamp, u32)>,
    total: u32,
}

impl Rhythm {
    const HOUR: i64 = 3_600_000_000;

    fn new(from: Timestamp, to: Timestamp) -> Self {
        let end = to.as_microsecond().max(from.as_microsecond() + 1);
        let mut hours = Vec::new();
        let mut start = from.as_microsecond();
        while start < end {
            let next = (start - start.rem_euclid(Self::HOUR) + Self::HOUR).min(end);
            if let (Ok(a), Ok(b)) = (micros(start), micros(next)) {
                // In parts of an hour, so that a hour that has just begun weighs little.
                let part = ((next - start) * 60 / Self::HOUR).max(1);
                hours.push((a, b, weight(a) * part as u32));
            }
            start = next;
        }
        let total = hours.iter().map(|(_, _, weight)| weight).sum();
        Self { hours, total }
    }

    /// The instant by which this share of the work is done.
    fn at(&self, share: f64) -> anyhow::Result<Timestamp> {
        let mut left = share * f64::from(self.total);
        for (start, end, weight) in &self.hours {
            let weight = f64::from(*weight);
            if left < weight {
                let length = (end.as_microsecond() - start.as_microsecond()) as f64;
                return micros(start.as_microsecond() + (length * left / weight) as i64);
            }
            left -= weight;
        }
        self.hours.last().map(|(start, _, _)| *start).context("the month has no hours")
    }
}

fn micros(micros: i64) -> anyhow::Result<Timestamp> {
    Ok(Timestamp::from_microsecond(micros)?)
}

fn weight(at: Timestamp) -> u32 {
    const HOURS: [u32; 24] =
        [3, 2, 2, 2, 2, 4, 8, 16, 34, 48, 52, 46, 34, 42, 50, 48, 40, 26, 14, 9, 7, 6, 5, 4];
    let at = at.to_zoned(TimeZone::UTC);
    let hour = HOURS.get(usize::from(at.hour().unsigned_abs())).copied().unwrap_or(1);
    match at.weekday() {
        Weekday::Saturday => 1 + hour / 6,
        Weekday::Sunday => 1 + hour / 9,
        _ => hour,
    }
}
