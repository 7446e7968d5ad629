//! Why a statement about identities was not believed.

/// Why a certificate, membership or statement was refused. Nothing has changed then.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IdentityError {
    /// The bytes are not what they should be.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// A later version of this software wrote it.
    #[error("{0} of a newer version; update this node")]
    NewerVersion(&'static str),
    /// A signature does not verify.
    #[error("the signature on the {0} does not verify")]
    BadSignature(&'static str),
    /// The rotations do not lead from the first root key to the one that signed.
    #[error("the chain of root keys is broken")]
    ChainBroken,
    /// More rotations than are followed.
    #[error("more than 16 rotations of the root key")]
    ChainTooLong,
    /// Signed by a root key that has been replaced since.
    #[error("signed by a root key that has been replaced")]
    Superseded,
    /// Another successor of the same root key is known already; the first one seen stays.
    #[error("two successors of one root key")]
    Forked,
    /// The device, all certificates of its age, or the whole node were revoked.
    #[error("revoked")]
    Revoked,
    /// Our certificate and our membership are too long to be shown in one handshake.
    #[error(
        "certificate and membership have {bytes} bytes together, and {limit} can be shown: leave out \
         signatures beyond the threshold, or begin anew with a root key that has fewer rotations"
    )]
    PapersTooLong {
        /// How long they are.
        bytes: u32,
        /// How long they may be: [`MAX_PAPERS_BYTES`](super::MAX_PAPERS_BYTES).
        limit: u32,
    },
    /// The dates lie wholly in the future.
    #[error("not valid yet")]
    NotYetValid,
    /// The dates lie wholly in the past.
    #[error("expired")]
    Expired,
    /// The network is closed and no membership was shown.
    #[error("this network is closed and no membership was shown")]
    MembershipMissing,
    /// The membership or statement is about another node.
    #[error("issued to another node")]
    WrongNode,
    /// Too few different authorities have signed.
    #[error("signed by {have} different authorities, needs {need}")]
    ThresholdNotMet {
        /// Different authorities whose signatures verify.
        have: u32,
        /// How many the genesis record asks for.
        need: u32,
    },
    /// This network has no authorities or no keys, so the statement means nothing in it.
    #[error("not for an open network")]
    OpenNetwork,
    /// A closed network was given without its key.
    #[error("the key of this closed network is missing")]
    NetworkKeyMissing,
    /// Older than what is known, or the same again with other contents.
    #[error("older than what is known")]
    Stale,
    /// A revocation list that leaves out what an earlier one revoked.
    #[error("a revocation was taken back, which is not possible")]
    NotMonotone,
    /// No room to remember one more node.
    #[error("no room for statements about another node")]
    TableFull,
}
