// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "runs_instances.hpp"

namespace program {

cm::likelihood labelled_likelihood(char const* label, cm::int4_decoder const& q,
                                   cm::token_sequences const& windows) {
    progress_bar bar(label);
    return cm::windows_likelihood(q, windows, std::ref(bar));
}

template <> generation generated(cm::int4_decoder const& q, generation_request const& request) {
    return generated_by(q.make_runner(), cm::kv_cache<cm::engine_rows>(q.model.config), q.tap(), request);
}

}  // namespace program
