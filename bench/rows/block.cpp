// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "harness/session.hpp"

namespace commutant::bench {

void add_block(std::vector<contest>&, session const&) {}

}  // namespace commutant::bench
