//! The model's deliveries.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use super::{Memory, Tables};
use crate::{
    Backlog, Claimed, Deliveries, Delivery, DeliveryFilter, DeliveryState, Ended, Following, Lease,
    NewDelivery, Outbox, Pace, Step, StoreError, Turn,
};

/// A delivery, and who is at it.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    delivery: Delivery,
    lease: Option<Lease>,
}

/// How a channel stands.
#[derive(Debug, Clone)]
pub(super) struct Follower {
    following: Following,
    turn: Option<Timestamp>,
}

impl Tables {
    fn follower(&mut self, channel: &str, now: Timestamp) -> &mut Follower {
        let end = self.events.len() as u64;
        let new = Follower { following: Following { since: now, after: end }, turn: None };
        self.followers.entry(channel.to_owned()).or_insert(new)
    }

    fn add(&mut self, channel: &str, new: NewDelivery, now: Timestamp) -> bool {
        if self.deliveries.iter().any(|kept| kept.delivery.key == new.key) {
            return false;
        }
        let id = self.deliveries.last().map_or(1, |last| last.delivery.id + 1);
        let NewDelivery { key, topic, severity, recipient, facts, at, due_at, state } = new;
        let delivery = Delivery {
            id,
            key,
            topic,
            severity,
            channel: channel.to_owned(),
            recipient,
            facts,
            at,
            state,
            attempts: 0,
            wanted_at: due_at,
            due_at,
            batch: None,
            leased_until: None,
            error: None,
            updated_at: now,
        };
        self.deliveries.push(Kept { delivery, lease: None });
        true
    }
}

#[async_trait]
impl Outbox for Memory {
    async fn follow(&self, channel: &str, now: Timestamp) -> Result<Following, StoreError> {
        Ok(self.lock().follower(channel, now).following)
    }

    async fn plan(
        &self,
        channel: &str,
        step: Option<Step>,
        new: Vec<NewDelivery>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut tables = self.lock();
        if let Some(Step { from, to }) = step {
            let following = &mut tables.follower(channel, now).following;
            if following.after != from {
                return Ok(0);
            }
            following.after = to;
        }
        let added = new.into_iter().filter(|new| tables.add(channel, new.clone(), now));
        Ok(added.count() as u64)
    }

    async fn claim(
        &self,
        channel: &str,
        pace: &Pace,
        now: Timestamp,
    ) -> Result<Option<Claimed>, StoreError> {
        let mut tables = self.lock();
        let mut waiting: Vec<Delivery> = tables
            .deliveries
            .iter()
            .map(|kept| &kept.delivery)
            .filter(|one| one.channel == channel && one.due_at <= pace.horizon(now))
            .cloned()
            .collect();
        waiting.sort_by_key(|one| (one.due_at, one.batch.clone(), one.id));
        let chosen = pace.choose(&waiting, now);
        let Some(claimed) = Claimed::of(&chosen, Uuid::new_v4(), pace, now) else {
            return Ok(None);
        };
        let follower = tables.follower(channel, now);
        match pace.turn(follower.turn, now) {
            Turn::Now(turn) => follower.turn = Some(turn),
            Turn::Wait(_) => return Ok(None),
        }
        for kept in &mut tables.deliveries {
            let held = claimed.deliveries.iter().find(|held| held.id == kept.delivery.id);
            if let Some(held) = held {
                *kept = Kept { delivery: held.clone(), lease: Some(claimed.lease) };
            }
        }
        Ok(Some(claimed))
    }

    async fn finish(&self, lease: Lease, ended: Ended, now: Timestamp) -> Result<bool, StoreError> {
        let mut tables = self.lock();
        let mine = tables.deliveries.iter_mut().filter(|kept| kept.lease == Some(lease));
        let mut count = 0;
        for kept in mine {
            kept.lease = None;
            let one = &mut kept.delivery;
            (one.leased_until, one.updated_at) = (None, now);
            match &ended {
                Ended::Delivered => (one.state, one.error) = (DeliveryState::Delivered, None),
                Ended::Again { due_at, error } => {
                    one.attempts += 1;
                    (one.due_at, one.error) = (*due_at, Some(error.clone()));
                }
                Ended::Dead { error } => {
                    one.attempts += 1;
                    (one.state, one.error) = (DeliveryState::Dead, Some(error.clone()));
                }
            }
            count += 1;
        }
        Ok(count > 0)
    }
}

#[async_trait]
impl Deliveries for Memory {
    async fn deliveries(&self, filter: DeliveryFilter) -> Result<Vec<Delivery>, StoreError> {
        let tables = self.lock();
        let fits = |one: &&Delivery| {
            filter.state.is_none_or(|state| one.state == state)
                && filter.channel.as_ref().is_none_or(|channel| one.channel == *channel)
                && filter.from.is_none_or(|from| one.at >= from)
                && filter.page.after.is_none_or(|after| one.id < after)
        };
        let newest = tables.deliveries.iter().rev().map(|kept| &kept.delivery);
        Ok(newest.filter(fits).take(filter.page.limit).cloned().collect())
    }

    async fn retry(&self, id: Option<u64>, now: Timestamp) -> Result<u64, StoreError> {
        let mut tables = self.lock();
        let named = tables.deliveries.iter().find(|kept| Some(kept.delivery.id) == id);
        let batch = named.map(|kept| kept.delivery.batch.clone());
        let mut count = 0;
        for Kept { delivery: one, .. } in &mut tables.deliveries {
            let is_meant = id.is_none()
                || Some(one.id) == id
                || (one.batch.is_some() && batch.as_ref() == Some(&one.batch));
            if one.state == DeliveryState::Dead && is_meant {
                (one.state, one.attempts) = (DeliveryState::Pending, 0);
                (one.due_at, one.wanted_at, one.updated_at) = (now, now, now);
                count += 1;
            }
        }
        Ok(count)
    }

    async fn backlog(&self, now: Timestamp) -> Result<Vec<Backlog>, StoreError> {
        let tables = self.lock();
        let empty = |channel: &String| {
            let channel = channel.clone();
            (channel.clone(), Backlog { channel, pending: 0, dead: 0, oldest: None })
        };
        let mut backlogs: BTreeMap<String, Backlog> = tables.followers.keys().map(empty).collect();
        for Kept { delivery: one, .. } in &tables.deliveries {
            let (channel, fresh) = empty(&one.channel);
            match one.state {
                DeliveryState::Dead => backlogs.entry(channel).or_insert(fresh).dead += 1,
                DeliveryState::Pending if one.wanted_at <= now => {
                    let backlog = backlogs.entry(channel).or_insert(fresh);
                    backlog.pending += 1;
                    let oldest = backlog.oldest.unwrap_or(one.wanted_at);
                    backlog.oldest = Some(oldest.min(one.wanted_at));
                }
                DeliveryState::Pending | DeliveryState::Delivered | DeliveryState::Noted => {}
            }
        }
        Ok(backlogs.into_values().collect())
    }

    async fn forget(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut tables = self.lock();
        let kept = tables.deliveries.len();
        tables.deliveries.retain(|kept| {
            let one = &kept.delivery;
            let is_over = matches!(one.state, DeliveryState::Delivered | DeliveryState::Noted);
            !(is_over && one.updated_at < before)
        });
        Ok((kept - tables.deliveries.len()) as u64)
    }
}
