//! What was done to both ends, and when: which version of which object lived from one moment to another.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::random::Random;

/// A number that grows with each operation.
pub type Moment = u64;

/// One version of an object of the source.
#[derive(Debug, Clone)]
pub struct Life {
    /// Its bytes.
    pub data: Bytes,
    /// When it came.
    pub from: Moment,
    /// When something else took its place; `None`: it stands.
    pub to: Option<Moment>,
}

/// What somebody else made of an object at the destination; `None`: it was deleted.
#[derive(Debug, Clone)]
pub struct Touched {
    /// When.
    pub at: Moment,
    /// What stood there then.
    pub data: Option<Bytes>,
}

/// Everything that was done, and what may be done next.
#[derive(Debug)]
pub struct History {
    pub(super) random: Random,
    now: Moment,
    pub(super) lives: BTreeMap<String, Vec<Life>>,
    pub(super) touched: BTreeMap<String, Vec<Touched>>,
    /// Uploads and files at the destination that are somebody else's, and have to stay.
    pub(super) foreign: Vec<String>,
    /// What was done, for people.
    pub told: Vec<String>,
}

/// Sizes that come again, so that versions often have the same one.
const SIZES: [u64; 4] = [0, 40, 1000, 70_000];
/// An object of three parts.
pub(super) const LARGE: u64 = 11_000_000;

impl History {
    /// Nothing was done yet; the seed decides what will be.
    pub(super) fn new(seed: u64) -> History {
        History {
            random: Random::new(seed),
            now: 0,
            lives: BTreeMap::new(),
            touched: BTreeMap::new(),
            foreign: Vec::new(),
            told: Vec::new(),
        }
    }

    /// The moment that is now.
    pub fn now(&self) -> Moment {
        self.now
    }

    /// Versions of an object that lived at or after this moment.
    pub fn since(&self, key: &str, start: Moment) -> Vec<&Life> {
        let lives = self.lives.get(key).into_iter().flatten();
        lives.filter(|life| life.to.is_none_or(|to| to > start)).collect()
    }

    /// Every key that there ever was.
    pub fn keys(&self) -> impl Iterator<Item = &String> {
        self.lives.keys()
    }

    /// Was the object there all the time since then?
    pub fn stayed(&self, key: &str, start: Moment) -> bool {
        let lives = self.since(key, start);
        let gapless =
            lives.windows(2).all(|pair| pair.first().and_then(|a| a.to) == pair.last().map(|b| b.from));
        gapless
            && lives.first().is_some_and(|life| life.from <= start)
            && lives.last().is_some_and(|life| life.to.is_none())
    }

    /// Was nothing of it changed since then?
    pub fn is_still(&self, key: &str, start: Moment) -> bool {
        self.since(key, start).iter().all(|life| life.from <= start && life.to.is_none())
    }

    /// What somebody else made of it at the destination since then.
    pub fn touched(&self, key: &str, start: Moment) -> Vec<&Touched> {
        self.touched.get(key).into_iter().flatten().filter(|touched| touched.at > start).collect()
    }

    /// What has to be left at the destination beside objects.
    pub fn foreign(&self) -> Vec<String> {
        let mut all = self.foreign.clone();
        all.sort();
        all
    }

    pub(super) fn tell(&mut self, what: String) -> Moment {
        self.now += 1;
        self.told.push(format!("{} {what}", self.now));
        self.now
    }

    pub(super) fn pick(&mut self, of: &[String]) -> Option<String> {
        let at = self.random.below(of.len() as u64) as usize;
        of.get(at).cloned()
    }

    pub(super) fn living(&self) -> Vec<String> {
        let lives = |lives: &Vec<Life>| lives.last().is_some_and(|life| life.to.is_none());
        self.lives.iter().filter(|(_, of)| lives(of)).map(|(key, _)| key.clone()).collect()
    }

    pub(super) fn current(&self, key: &str) -> Option<Bytes> {
        let life = self.lives.get(key)?.last()?;
        life.to.is_none().then(|| life.data.clone())
    }

    pub(super) fn ends(&mut self, key: &str, at: Moment) {
        if let Some(life) = self.lives.get_mut(key).and_then(|lives| lives.last_mut()) {
            life.to.get_or_insert(at);
        }
    }

    pub(super) fn begins(&mut self, key: &str, data: &Bytes, at: Moment) {
        self.ends(key, at);
        self.lives.entry(key.to_owned()).or_default().push(Life { data: data.clone(), from: at, to: None });
    }

    /// Bytes that no other version has.
    pub(super) fn bytes(&mut self, size: u64) -> Bytes {
        let mut state = Random::new(self.now << 20 ^ self.random.number());
        let mut data = Vec::with_capacity(size as usize + 8);
        while (data.len() as u64) < size {
            data.extend(state.number().to_le_bytes());
        }
        data.truncate(size as usize);
        data.into()
    }

    pub(super) fn size(&mut self, large: bool) -> u64 {
        match self.random.below(12) {
            0 if large => LARGE + self.random.below(2),
            n if n < 8 => SIZES[(n % 4) as usize],
            _ => self.random.below(5000),
        }
    }
}
