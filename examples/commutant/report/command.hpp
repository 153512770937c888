// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../command.hpp"

namespace program {

void add_report(CLI::App& app, chosen_command& chosen);

}  // namespace program
