// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "shared_inputs.hpp"

#include <algorithm>
#include <set>
#include <vector>

#include <commutant/merge/rope_pairing.hpp>

#include "command.hpp"

namespace program {

shared_inputs::shared_inputs(fs::path const& model, window_options const& windows)
    : path_(model),
      source_(cm::io::checkpoint::open(model)),
      reader_(source_.config(), source_.directory(), windows) {}

cm::decoder<float64> shared_inputs::loaded() const {
    cm::decoder<float64> model = cm::load_decoder<float64>(source_);
    cm::change_pairing_in_place(model, cm::pairing::half_split);
    return model;
}

cm::decoder<float32> const& shared_inputs::original() {
    if (original_.layers.empty()) original_ = cm::converted<float32>(loaded());
    return original_;
}

cm::token_sequences const& shared_inputs::windows(std::string const& file, std::size_t max_windows,
                                                  bool is_calibration) {
    auto const key = std::tuple(file, max_windows, is_calibration);
    auto found = windows_.find(key);
    if (found == windows_.end())
        found = windows_.emplace(key, reader_.read(file, max_windows, is_calibration)).first;
    return found->second;
}

run_texts shared_inputs::texts(method_options const& method) {
    run_texts t;
    t.evaluation = &windows(method.evaluation, method.max_windows, false);
    if (method.calibration.empty()) return t;
    std::size_t const for_ranges = method.max_calibration_windows;
    auto const& all =
        windows(method.calibration, method.trains() ? method.training.windows : for_ranges, true);
    t.ranges.assign(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(std::min(for_ranges, all.size())));
    if (!method.trains()) return t;
    require_texts_apart(all, *t.evaluation);
    t.training = all;
    return t;
}

void require_texts_apart(cm::token_sequences const& calibration, cm::token_sequences const& evaluation) {
    std::set<std::vector<int>> const seen(calibration.begin(), calibration.end());
    auto const n = std::count_if(evaluation.begin(), evaluation.end(),
                                 [&](auto const& window) { return seen.count(window) != 0; });
    if (n != 0)
        throw usage_error("quantize: " + std::to_string(n) + " of the " + std::to_string(evaluation.size()) +
                          " windows of --eval are in --calib too, expected texts apart: the recipe trains on "
                          "the latter");
}

}  // namespace program
