//! Skeleton: the simulated file system.
