// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace commutant::bench {

/// Google Benchmark on every body of the kernels that one call can show, beside memcpy of the same bytes.
int run_bodies(int argc, char** argv);

}  // namespace commutant::bench
