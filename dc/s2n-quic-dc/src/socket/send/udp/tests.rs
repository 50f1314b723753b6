// SPDX-License-Identifier: Apache-2.0

//! The socket worker on sockets that take, block and fail.
