// SPDX-License-Identifier: Apache-2.0

//! Records and packets against plain maps.
