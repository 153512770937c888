// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "../output.hpp"

namespace program {

/// The numbers of a run, or of a study, as a page that needs nothing but itself.
///
/// numbers   as quantize writes them; a section appears when its key is there: `nll`, `training`, `stages`, `ablation`,
///           `distributions`, `study`
[[nodiscard]] std::string report_page(json const& numbers);

}  // namespace program
