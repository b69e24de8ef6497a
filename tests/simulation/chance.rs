//! What happens to the steps of one plan on their way: their order, and answers that are late or lost.
//!
//! Only what TCP and the API allow. The commands over one connection are carried out in their order, each once. An answer
//! may be late, or lost with the connection; the operator cannot tell whether the command was carried out.

use super::{random::Random, redis::Time};

/// What happens to one command, or one request to the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is carried out, and answered.
    Answered,
    /// So it is, but time passes before, and after.
    Slow,
    /// It is carried out when nobody waits for the answer any more.
    Late,
    /// It is carried out, and the connection ends before the answer.
    Lost,
}

/// Decides; the same number always decides the same. Zero: the order of the plan, and everything at once.
#[derive(Clone, Debug)]
pub struct Chance {
    random: Random,
    reorders: bool,
    mishaps: bool,
}

/// Luck of these is about the order only.
const ORDER: u64 = 1 << 63;

impl Chance {
    pub fn new(luck: u64) -> Self {
        Self { random: Random::new(luck), reorders: luck != 0, mishaps: luck != 0 && luck & ORDER == 0 }
    }

    /// Any order, and no mishaps.
    pub fn order(number: u64) -> u64 {
        number | ORDER
    }

    pub fn shuffle<T>(&mut self, steps: &mut [T]) {
        if self.reorders {
            for at in (1..steps.len()).rev() {
                steps.swap(at, self.random.below(at + 1));
            }
        }
    }

    pub fn fate(&mut self) -> Fate {
        if !self.mishaps {
            return Fate::Answered;
        }
        match self.random.weighted(&[6, 2, 1, 1]) {
            0 => Fate::Answered,
            1 => Fate::Slow,
            2 => Fate::Late,
            _ => Fate::Lost,
        }
    }

    /// How long the operator waits until something happens, in milliseconds. An answer is given up after a second.
    pub fn pause(&mut self) -> Time {
        [1, 20, 300][self.random.below(3)]
    }
}

impl Random {
    /// The luck of a round. Half of them have none to speak of.
    pub fn luck(&mut self) -> u64 {
        let number = self.next() >> 1;
        if number.is_multiple_of(2) { Chance::order(number) } else { number }
    }
}

#[test]
fn no_luck_is_the_order_of_the_plan_and_everything_at_once() {
    let order = |luck| {
        let mut steps = [0, 1, 2];
        Chance::new(luck).shuffle(&mut steps);
        steps
    };
    let fates = |luck| {
        let mut chance = Chance::new(luck);
        (0..100).map(|_| chance.fate()).collect::<Vec<_>>()
    };
    assert_eq!(order(0), [0, 1, 2]);
    assert!(fates(0).iter().all(|fate| *fate == Fate::Answered));
    assert!(fates(Chance::order(7)).iter().all(|fate| *fate == Fate::Answered));
    let orders: std::collections::BTreeSet<_> = (0..100).map(|n| order(Chance::order(n))).collect();
    assert_eq!(orders.len(), 6, "all orders of three steps");
    for fate in [Fate::Answered, Fate::Slow, Fate::Late, Fate::Lost] {
        assert!(fates(7).contains(&fate), "{fate:?}");
    }
}
