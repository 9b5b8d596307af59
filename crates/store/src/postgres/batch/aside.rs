//! Commands that wait for somebody to let go of their tenant, apart from everybody else's.

use std::{
    collections::{HashMap, VecDeque},
    io,
    time::{Duration, Instant},
};

use ::budget::{EscrowError, Key, StoreError};
use focus::TenantId;

use crate::queue::Job;

/// How often those who wait are tried again.
pub(super) const ASIDE_EVERY: Duration = Duration::from_millis(200);

/// How long they wait before they are told that the database does not answer.
const ASIDE_MOST: Duration = Duration::from_secs(10);

/// The most tenants that are tried in a row: each delays everybody else a little.
const TRIED_MOST: usize = 4;

/// The tenant that a job names itself.
pub(super) fn named(job: &Job) -> Option<&TenantId> {
    job.command.call().map(|call| &call.tenant)
}

/// Jobs that wait for one tenant; for nobody knows which, where there is none.
pub(super) struct Group {
    pub(super) tenant: Option<TenantId>,
    pub(super) jobs: Vec<Job>,
    since: Instant,
}

/// All that wait, those that are to be tried next in front.
#[derive(Default)]
pub(super) struct Aside {
    groups: VecDeque<Group>,
    tried: Option<Instant>,
}

impl Aside {
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Keeps the jobs whose tenant is waited for, gives the others back. `tenants` are those of
    /// jobs that name a key alone. More than `most` are refused as overload.
    pub(super) fn join(
        &mut self,
        jobs: Vec<Job>,
        tenants: &HashMap<Key, TenantId>,
        most: usize,
    ) -> Vec<Job> {
        if self.is_empty() {
            return jobs;
        }
        let mut count: usize = self.groups.iter().map(|group| group.jobs.len()).sum();
        let mut others = Vec::with_capacity(jobs.len());
        for job in jobs {
            let tenant = named(&job).or_else(|| tenants.get(&job.command.key()));
            // What names a key alone comes after what has its key: a release after its reserve.
            let has_key = |other: &Job| other.command.key() == job.command.key();
            let is_its = |group: &Group| match tenant {
                Some(_) => group.tenant.as_ref() == tenant,
                None => group.jobs.iter().any(has_key),
            };
            match self.groups.iter_mut().find(|group| is_its(group)) {
                Some(_) if count >= most => refuse(job, StoreError::Overloaded),
                Some(group) => {
                    group.jobs.push(job);
                    count += 1;
                }
                None => others.push(job),
            }
        }
        others
    }

    /// Sets jobs aside whose tenant somebody holds.
    pub(super) fn put(&mut self, tenant: Option<TenantId>, jobs: Vec<Job>) {
        self.tried = Some(Instant::now());
        match self.groups.iter_mut().find(|group| group.tenant == tenant) {
            Some(group) => group.jobs.extend(jobs),
            None => self.groups.push_back(Group { tenant, jobs, since: Instant::now() }),
        }
    }

    /// Those whose turn it is to be tried again.
    pub(super) fn take_due(&mut self) -> Vec<Group> {
        if self.tried.is_some_and(|tried| tried.elapsed() < ASIDE_EVERY) {
            return Vec::new();
        }
        self.tried = Some(Instant::now());
        self.groups.drain(..self.groups.len().min(TRIED_MOST)).collect()
    }

    /// Takes those back that have been tried in vain, unless it has been for too long.
    pub(super) fn put_back(&mut self, group: Group) {
        if group.since.elapsed() < ASIDE_MOST {
            self.groups.push_back(group);
            return;
        }
        let tenant = group.tenant.as_ref().map_or("?", |tenant| tenant.as_str());
        tracing::error!(tenant, "somebody holds a tenant's rows: its calls are not answered");
        for job in group.jobs {
            let cause = io::Error::other("somebody holds the tenant's rows");
            refuse(job, StoreError::unavailable(cause));
        }
    }
}

fn refuse(job: Job, error: StoreError) {
    // Who has stopped waiting hears nothing.
    let _ = job.reply.send(Err(EscrowError::Store(error)));
}
