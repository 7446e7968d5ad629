//! Cookies: who asks for much must first show that he hears the answers.
//!
//! A restaurant that takes every telephone order can be made to cook for nobody. When orders come
//! faster than a few a second, it asks each caller for his number and calls back; only who can be
//! called back gets a meal. The note of the call is not kept: the number is stamped with a seal that
//! only the restaurant can make, and the caller brings it along (WireGuard's whitepaper, section 5.4.7;
//! RFC 9000, section 8.1.2).
//!
//! A cookie is good for the link and address it was made for and for two to four minutes. On the wire it
//! is masked with the tag of the question, so that only who has seen the question can read the answer;
//! and what is sent along later is not the cookie but a tag made with it over the new question, so that
//! it cannot be cut off and used for another.

use super::message::{Builder, COOKIE_LEN, Kind, TAG_LEN, Versions};
use crate::crypto::hash;
use crate::crypto::secret::Secret;
use crate::ids::{Addr, LinkId};
use crate::time::{Duration, Instant};

/// How long one secret is used (WireGuard: 120 s). Derived from the clock, so there is nothing to rotate.
const PERIOD: Duration = Duration::from_secs(120);

/// Makes and checks cookies.
pub(super) struct Jar {
    secret: Secret,
}

/// A cookie as its maker and its receiver know it.
pub(super) type Cookie = [u8; COOKIE_LEN];

impl Jar {
    pub(super) fn new(secret: [u8; 32]) -> Jar {
        Jar { secret: Secret::new(secret) }
    }

    fn cookie(&self, period: u64, link: LinkId, addr: &Addr) -> Cookie {
        hash::mac(self.secret.expose(), &[&period.to_le_bytes(), &link.0.to_le_bytes(), addr.as_bytes()])
    }

    /// The packet that demands a cookie: 49 bytes, shorter than any Init.
    pub(super) fn demand(
        &self,
        now: Instant,
        place: (LinkId, &Addr),
        versions: Versions,
        question: (u32, &[u8; TAG_LEN]),
        hello: &[u8; 32],
    ) -> alloc::vec::Vec<u8> {
        let (receiver, tag) = question;
        let cookie = self.cookie(period(now), place.0, place.1);
        Builder::new(Kind::Cookie, versions, 0)
            .index(receiver)
            .put(tag.get(..8).unwrap_or(&[]))
            .put(&mask(cookie, tag, hello))
            .seal(hello)
    }

    /// Whether `field` was made with a cookie for this place, of this period or the last.
    pub(super) fn proves(
        &self,
        now: Instant,
        place: (LinkId, &Addr),
        question: &[u8],
        field: &Cookie,
    ) -> bool {
        let period = period(now);
        *field != [0; COOKIE_LEN]
            && [Some(period), period.checked_sub(1)]
                .into_iter()
                .flatten()
                .any(|period| hash::equal(&stamp(&self.cookie(period, place.0, place.1), question), field))
    }
}

fn period(now: Instant) -> u64 {
    now.as_micros() / PERIOD.as_micros()
}

/// What is sent along with `question` to show that `cookie` was received.
pub(super) fn stamp(cookie: &Cookie, question: &[u8]) -> Cookie {
    hash::mac(&hash::derive("thallus handshake cookie v1", &[cookie]), &[question])
}

/// Masks a cookie, or takes the mask off.
pub(super) fn mask(mut cookie: Cookie, tag: &[u8; TAG_LEN], hello: &[u8; 32]) -> Cookie {
    let pad = hash::derive("thallus handshake cookie mask v1", &[hello, tag]);
    for (byte, pad) in cookie.iter_mut().zip(pad) {
        *byte ^= pad;
    }
    cookie
}

/// A token bucket in integers: `per_s` tokens a second, at most one second's worth saved up.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    /// Millionths of a token.
    level: u64,
    filled: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn new(now: Instant, per_s: u16) -> Bucket {
        Bucket { level: u64::from(per_s) * 1_000_000, filled: now }
    }

    /// Takes a token if there is one.
    pub(super) fn take(&mut self, now: Instant, per_s: u16) -> bool {
        let per_s = u64::from(per_s);
        let grown = now.since(self.filled).as_micros().saturating_mul(per_s);
        self.level = self.level.saturating_add(grown).min(per_s * 1_000_000);
        self.filled = now;
        if self.level < 1_000_000 {
            return false;
        }
        self.level -= 1_000_000;
        true
    }
}
