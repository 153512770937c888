// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <utility>

#include "../ablation.hpp"
#include "study.hpp"

namespace program {
namespace {

/// Collects the rows of a study.
class row_list {
public:
    row_list(study_request const& request, std::vector<std::string> usual_bits)
        : bits_(request.bits.empty() ? std::move(usual_bits) : request.bits), seeds_(request.seeds) {}

    [[nodiscard]] std::vector<std::string> const& bits() const { return bits_; }

    /// Rows that follow stand in this group; otherwise in one called by their bits.
    void in(std::string group) { group_ = std::move(group); }

    /// A run in which nothing is random.
    study_row& add(std::string const& bits, std::string const& label, option_values options) {
        options.set("--bits", bits);
        rows_.push_back({group_.empty() ? bits : group_, label, std::move(options)});
        return rows_.back();
    }

    /// A run for each seed.
    void add_seeds(std::string const& bits, std::string const& label, option_values options) {
        for (auto const& seed : seeds_) {
            options.set("--seed", seed);
            add(bits, label, options);
        }
    }

    /// The same, pointless without steps of training.
    void add_trained(std::string const& bits, std::string const& label, option_values const& options) {
        std::size_t const first = rows_.size();
        add_seeds(bits, label, options);
        for (std::size_t i = first; i < rows_.size(); ++i) rows_[i].is_end_to_end = true;
    }

    /// Nothing is transformed: what all others are measured against.
    void add_rtn(std::string const& bits) {
        add(bits, "round to nearest, min-max", {{"--recipe", "rtn"}, {"--range", "minmax"}}).is_baseline =
            true;
        add(bits, "round to nearest", {{"--recipe", "rtn"}});
    }

    [[nodiscard]] std::vector<study_row> rows() && { return std::move(rows_); }

private:
    std::vector<std::string> bits_, seeds_;
    std::string group_{};
    std::vector<study_row> rows_{};
};

option_values const hadamard{{"--recipe", "hadamard"}};
option_values const local_stage{{"--recipe", "fptquant"}, {"--token-scale", "off"}, {"--steps", "0"}};
option_values const without_token_scale{{"--recipe", "fptquant"}, {"--token-scale", "off"}};

std::vector<study_row> table_rows(study_request const& request) {
    row_list list(request, {"4-4-4", "4-8-4", "4-8-8"});
    for (auto const& bits : list.bits()) {
        list.add_rtn(bits);
        list.add_seeds(bits, "Hadamard", hadamard);
        list.add_seeds(bits, "local stage", local_stage);
        list.add_trained(bits, "grids alone, trained", {{"--recipe", "grids"}});
        list.add_trained(bits, "SpinQuant's transforms, trained", {{"--recipe", "spinquant"}});
        for (auto const& [label, choice] :
             {std::pair("FPTQuant without S_n", "off"), std::pair("FPTQuant with S_n", "on"),
              std::pair("FPTQuant, S_n where it helps", "auto")})
            list.add_trained(bits, label, {{"--recipe", "fptquant"}, {"--token-scale", choice}});
    }
    return std::move(list).rows();
}

std::vector<study_row> p_rows(study_request const& request) {
    row_list list(request, {"4-4-4", "4-8-8"});
    for (auto const& bits : list.bits())
        for (std::string const ranges : {"2", "3", "4"}) {
            list.in(bits + ", L" + ranges + " ranges");
            auto const options = overridden(local_stage, {{"--p", ranges}});
            list.add_seeds(bits, "no local stage", overridden(options, {{"--local-steps", "0"}}));
            for (std::string const p : {"2", "3", "4", "6", "8"})
                list.add_seeds(bits, "local stage, p = " + p, overridden(options, {{"--p-local", p}}));
        }
    return std::move(list).rows();
}

std::vector<study_row> calibration_rows(study_request const& request) {
    row_list list(request, {"4-4-4"});
    auto const add = [&](std::string const& bits, option_values text, std::string const& n) {
        text.set("--calib-windows", n);
        list.add(bits, "round to nearest, " + n, overridden({{"--recipe", "rtn"}}, text));
        list.add_seeds(bits, "Hadamard, " + n, overridden(hadamard, text));
        list.add_seeds(bits, "local stage, " + n, overridden(local_stage, text));
    };
    for (auto const& bits : list.bits()) {
        list.in(bits + ", windows");
        for (char const* n : {"1", "2", "4", "8", "16", "32", "64", "128"}) add(bits, {}, n);
        for (auto const& file : request.shifted) {
            list.in(bits + ", windows of " + std::filesystem::path(file).stem().string());
            for (char const* n : {"1", "16", "128"}) add(bits, {{"--calib", file}}, n);
        }
    }
    return std::move(list).rows();
}

std::vector<study_row> token_scale_rows(study_request const& request) {
    row_list list(request, {"4-4-4", "4-8-4", "4-8-8"});
    for (auto const& bits : list.bits())
        for (std::string const choice : {"off", "on", "static"}) {
            option_values const options{{"--recipe", "fptquant"}, {"--token-scale", choice}};
            list.add_seeds(bits, "local stage, S_n " + choice, overridden(options, {{"--steps", "0"}}));
            list.add_trained(bits, "trained, S_n " + choice, options);
        }
    return std::move(list).rows();
}

std::vector<study_row> value_rows(study_request const& request) {
    row_list list(request, {"4-4-4", "4-8-8"});
    for (auto const& bits : list.bits())
        for (auto const& [name, chosen] : std::vector<std::pair<std::string, option_values>>{
                 {"orthogonal", {{"--value-transform", "orthogonal"}}},
                 {"low-rank", {{"--value-transform", "low-rank"}}},
                 {"svd", {{"--value-transform", "svd"}}},
                 {"dense", {{"--value-transform", "dense"}}},
                 {"dense, from moments", {{"--value-transform", "dense"}, {"--value-start", "moments"}}}}) {
            list.add_seeds(bits, "local stage, T_v " + name, overridden(local_stage, chosen));
            list.add_trained(bits, "trained, T_v " + name, overridden(without_token_scale, chosen));
        }
    return std::move(list).rows();
}

std::vector<study_row> bit_rows(study_request const& request) {
    row_list list(request, {"4-8-8", "3-8-8", "2-8-8", "4-4-4", "3-4-4", "2-4-4"});
    for (auto const& bits : list.bits()) {
        list.add_rtn(bits);
        list.add_seeds(bits, "Hadamard", hadamard);
        list.add_seeds(bits, "local stage", local_stage);
        list.add_trained(bits, "FPTQuant", {{"--recipe", "fptquant"}});
    }
    return std::move(list).rows();
}

std::vector<study_row> loss_rows(study_request const& request) {
    row_list list(request, {"4-4-4"});
    for (auto const& bits : list.bits()) {
        list.add_seeds(bits, "local stage", overridden(local_stage, {{"--training-likelihood", ""}}));
        for (std::string const loss : {"js", "kl", "top-kl", "next-token"})
            list.add_trained(
                bits, "trained, " + loss,
                overridden(without_token_scale, {{"--loss", loss}, {"--training-likelihood", ""}}));
    }
    return std::move(list).rows();
}

std::vector<study_row> ablation_rows(study_request const& request) {
    row_list list(request, {"4-4-4", "4-8-8"});
    std::string const recipe = request.recipe.empty() ? "fptquant" : request.recipe;
    for (auto const& bits : list.bits())
        for (auto const& v : transform_variations(recipe)) list.add_seeds(bits, v.label, v.options);
    return std::move(list).rows();
}

std::vector<study_row> quantizer_rows(study_request const& request) {
    row_list list(request, {"4-4-4", "4-8-8"});
    std::vector<std::pair<std::string, option_values>> methods{
        {"round to nearest", {{"--recipe", "rtn"}}}, {"Hadamard", hadamard}, {"local stage", local_stage}};
    if (!request.recipe.empty()) methods = {{request.recipe, {{"--recipe", request.recipe}}}};
    for (auto const& bits : list.bits()) {
        auto const method = parsed_method({{"--bits", bits}, {"--coverage", request.coverage}});
        for (auto const& [name, options] : methods) {
            list.in(bits + ", " + name);
            bool const is_random = *options.find("--recipe") != "rtn";
            auto const add = [&, &options = options](std::string const& label, option_values const& more) {
                if (is_random)
                    list.add_seeds(bits, label, overridden(options, more));
                else
                    list.add(bits, label, overridden(options, more));
            };
            add("everything", {});
            for (auto const& v : quantizer_variations(method)) add(v.label, v.options);
        }
    }
    return std::move(list).rows();
}

}  // namespace

std::vector<named_study> const& studies() {
    static std::vector<named_study> const list{
        {"table", "how far does each method come?", table_rows},
        {"p", "which norms should the local stage and the ranges have?", p_rows},
        {"calibration", "how much text do static ranges need, and which?", calibration_rows},
        {"token-scale", "is S_n worth its place?", token_scale_rows},
        {"values",
         "how free should T_v be?",
         value_rows,
         {{"parameters of T_v", "/training/parameters/value_output"}}},
        {"bits", "how few bits can weights do with?", bit_rows},
        {"loss",
         "what should training minimise?",
         loss_rows,
         {{"on text trained on", "/training/loss_left/training"},
          {"on text held out", "/training/loss_left/held_out"}}},
        {"ablation", "what is each transform worth?", ablation_rows},
        {"quantizers", "which tensor does the loss come from?", quantizer_rows}};
    return list;
}

}  // namespace program
