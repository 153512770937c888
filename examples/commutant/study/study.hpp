// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "../option_values.hpp"

// Studies: questions about quantisation that a list of runs of quantize answers.

namespace program {

/// One run of a study.
struct study_row {
    std::string group{};         ///< heading of the table that it stands in
    std::string label{};         ///< rows of one label in a group differ in their seeds alone
    option_values options{};     ///< of quantize: its own, on top of those that all rows share
    bool is_baseline = false;    ///< the row whose loss the others of its group win back
    bool is_end_to_end = false;  ///< pointless without steps of training
};

/// What a study is asked to vary over.
struct study_request {
    std::vector<std::string> bits{};  ///< empty: the study's own choice
    std::vector<std::string> seeds{};
    std::vector<std::string> shifted{};  ///< calibration texts unlike the usual one
    std::string recipe{};                ///< of the studies that take one apart; empty: their own choice
    std::string coverage{};
};

/// A figure of a run beside its NLL: a column of the tables.
struct study_column {
    std::string title;
    std::string pointer;  ///< into the numbers of a run; rows without it have an empty cell
};

struct named_study {
    std::string name;
    std::string question;
    std::vector<study_row> (*rows)(study_request const&);
    std::vector<study_column> columns{};
};

[[nodiscard]] std::vector<named_study> const& studies();

}  // namespace program
