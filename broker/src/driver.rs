//! Skeleton: runs a state machine on its log.
