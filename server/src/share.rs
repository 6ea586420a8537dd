//! Something of which there is only so much, and of which nobody may have all.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// Whoever can have a share.
pub(crate) trait Holder: Eq + Hash + Copy + Unpin + Send + 'static {}

impl<K: Eq + Hash + Copy + Unpin + Send + 'static> Holder for K {}

/// So much in all, and for each holder at most a share of it. Clones are of the same.
#[derive(Clone)]
pub(crate) struct Shares<K: Holder> {
    all_max: usize,
    each_max: usize,
    held: Arc<Mutex<Held<K>>>,
}

struct Held<K> {
    all: usize,
    by_holder: HashMap<K, usize>,
}

impl<K: Holder> Shares<K> {
    /// So much in all, and for each holder.
    pub(crate) fn new(all_max: usize, each_max: usize) -> Self {
        Self { all_max, each_max, held: Arc::new(Mutex::new(Held { all: 0, by_holder: HashMap::new() })) }
    }

    /// Takes so much for a holder. `None`: there is not that much, for it or for anybody.
    pub(crate) fn take(&self, holder: K, amount: usize) -> Option<Taken<K>> {
        let mut taken = Taken { shares: self.clone(), holder, amount: 0 };
        taken.more(amount).then_some(taken)
    }
}

/// What a holder has, until this is dropped.
pub(crate) struct Taken<K: Holder> {
    shares: Shares<K>,
    holder: K,
    amount: usize,
}

impl<K: Holder> Taken<K> {
    /// Takes more. False: there is not that much, and nothing was taken.
    pub(crate) fn more(&mut self, amount: usize) -> bool {
        let Shares { all_max, each_max, .. } = self.shares;
        let mut held = self.shares.held.lock().unwrap_or_else(PoisonError::into_inner);
        let has = held.by_holder.get(&self.holder).copied().unwrap_or_default();
        if held.all + amount > all_max || has + amount > each_max {
            return false;
        }
        held.all += amount;
        held.by_holder.insert(self.holder, has + amount);
        self.amount += amount;
        true
    }
}

impl<K: Holder> Drop for Taken<K> {
    fn drop(&mut self) {
        let mut held = self.shares.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.all -= self.amount;
        let left = held.by_holder.get(&self.holder).copied().unwrap_or_default() - self.amount;
        match left {
            0 => held.by_holder.remove(&self.holder),
            left => held.by_holder.insert(self.holder, left),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_more_than_a_share_and_all_together_no_more_than_there_is() {
        let shares = Shares::new(5, 3);
        let mut one = shares.take("one", 2).unwrap();
        assert!(one.more(1));
        assert!(!one.more(1), "its share is 3");
        assert!(shares.take("one", 1).is_none());
        let other = shares.take("other", 2).unwrap();
        assert!(shares.take("third", 1).is_none(), "there are 5");
        drop(one);
        assert!(shares.take("third", 3).is_some());
        drop(other);
        assert_eq!(shares.held.lock().unwrap().all, 0);
        assert!(shares.held.lock().unwrap().by_holder.is_empty(), "nobody is remembered who has nothing");
    }
}
