// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "training.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <utility>

#include <CLI/CLI.hpp>

#include <commutant/recipes/trained_recipes.hpp>

#include "interruption.hpp"
#include "transform_sites.hpp"

namespace program {
namespace {

struct named_recipe {
    std::string name;
    cm::training_recipe (*recipe)();
};

std::vector<named_recipe> const& recipes() {
    static std::vector<named_recipe> const list{
        {"fptquant", cm::fptquant_recipe}, {"spinquant", cm::spinquant_recipe}, {"grids", cm::grids_recipe}};
    return list;
}

cm::training_recipe recipe_of(std::string const& name, training_options const& o, std::size_t range_windows,
                              std::size_t seed) {
    cm::training_recipe r;
    for (auto const& one : recipes())
        if (one.name == name) r = one.recipe();
    r.range_windows = range_windows;
    if (o.was_given("--transforms")) {
        r.forms.chosen = parsed_transforms(o.transforms);
        r.token_scale = r.forms.chosen.token_scale ? cm::token_scale_choice::on : cm::token_scale_choice::off;
    }
    if (o.token_scale == "on") r.token_scale = cm::token_scale_choice::on;
    if (o.token_scale == "static") r.token_scale = cm::token_scale_choice::constant;
    if (o.token_scale == "off") r.token_scale = cm::token_scale_choice::off;
    if (o.token_scale == "auto") r.token_scale = cm::token_scale_choice::measured;
    if (o.value_transform == "dense") r.forms.values = cm::value_form::dense;
    if (o.value_transform == "svd") r.forms.values = cm::value_form::svd;
    if (o.value_transform == "orthogonal") r.forms.values = cm::value_form::orthogonal;
    if (o.value_transform == "low-rank") r.forms.values = cm::value_form::low_rank;
    r.forms.value_rank = o.value_rank;
    if (o.residual_start == "identity") r.forms.residual_stream_start = cm::rotation_start::identity;
    if (o.value_start == "identity") r.forms.value_output_start = cm::rotation_start::identity;
    r.moments.value_output = o.value_start == "moments";
    r.moments.up_down = o.up_start == "moments";
    if (o.rotation == "qr") r.forms.rotations = cm::orthogonal_form::qr;
    if (o.was_given("--local-steps")) r.local.n_steps = o.local_steps;
    r.local.p = o.p_local;
    r.local.sequential = o.local_order == "sequential";
    auto& d = r.distillation;
    if (o.was_given("--steps")) d.n_steps = o.steps;
    if (o.was_given("--batch")) d.batch = o.batch;
    d.rate_factor = o.learning_rate;
    if (o.loss == "kl") d.loss = cm::distillation_loss::kullback_leibler;
    if (o.loss == "top-kl") d.loss = cm::distillation_loss::top_kullback_leibler;
    if (o.loss == "next-token") d.loss = cm::distillation_loss::next_token;
    if (o.eps == "plain") d.eps = cm::eps_rule::plain;
    d.shifts_windows = o.shifts_windows;
    d.patience = o.patience;
    d.seed = seed;
    d.n_threads = r.local.n_threads = o.threads;
    return r;
}

prepared_plan behind_one_type(cm::transform_parameters<float32> const& trained, cm::eps_rule eps) {
    // Composed in double precision from the numbers that were trained.
    auto const p = std::make_shared<cm::transform_parameters<float64> const>(
        cm::mapped<float64>(trained, [](float32 const& x) { return float64(x.values.cast<double>()); }));
    prepared_plan plan;
    plan.merge_offline = [p](cm::decoder<float64>& m, cm::condition_limits const& limits) {
        return cm::merge_offline(*p, m, limits);
    };
    plan.merge_online = [p, eps](cm::decoder<float64>& m, cm::condition_limits const& limits) {
        cm::merge_online(*p, eps, m, limits);
        return cm::merge_report{};
    };
    return plan;
}

/// Loss of every step; divergence of held-out text wherever it was measured anew.
json loss_curve(std::vector<cm::distillation_record> const& history) {
    json curve = json::array();
    double last_held_out = 0;
    for (std::size_t i = 0; i < history.size(); ++i) {
        json point{{"step", i + 1}, {"loss", history[i].loss}};
        if (history[i].held_out != last_held_out) point["held_out"] = last_held_out = history[i].held_out;
        curve.push_back(std::move(point));
    }
    return curve;
}

json trained_numbers(cm::transform_parameters<float32> const& p) {
    std::array<std::size_t, 4> counts{};
    cm::visit_trained(p, [&](cm::parameter_group group, std::string const&, float32 const& x) {
        counts[static_cast<std::size_t>(group)] += x.size();
    });
    return by_site(counts);
}

}  // namespace

std::vector<std::string> const& trained_recipe_names() {
    static std::vector<std::string> const names = [] {
        std::vector<std::string> list;
        for (auto const& one : recipes()) list.push_back(one.name);
        return list;
    }();
    return names;
}

bool is_trained_recipe(std::string const& name) {
    auto const& names = trained_recipe_names();
    return std::find(names.begin(), names.end(), name) != names.end();
}

void training_options::add_to(CLI::App& command) {
    auto const add = [&](char const* name, auto& value, char const* text) {
        return command.add_option(name, value, text)
            ->group("Recipes that train")
            ->each([this, name](std::string const&) { given.emplace_back(name); });
    };
    auto const positive = CLI::Range(std::size_t{1}, std::size_t{1} << 24);
    add("--local-steps", local_steps,
        "steps of the data-free stage; default: 200 of fptquant, none of the others");
    add("--p-local", p_local, "norm of the weights that it makes small")
        ->check(CLI::Range(2, 8))
        ->capture_default_str();
    add("--local-order", local_order, "rotation of the residual stream first, then the rest; or all at once")
        ->check(CLI::IsMember({"sequential", "joint"}))
        ->capture_default_str();
    add("--steps", steps, "steps of the end-to-end stage; default: 300; 0: none");
    add("--batch", batch, "windows of a step; default: 16")->check(positive);
    add("--learning-rate", learning_rate, "factor on all learning rates of the end-to-end stage")
        ->check(CLI::Range(1e-6, 1e6))
        ->capture_default_str();
    add("--transforms", transforms,
        "sites of the transforms to train, separated by commas, or none; default: the recipe's");
    add("--token-scale", token_scale,
        "S_n; auto: both are tried, and held-out text decides; static: a constant for each sub-block in its\n"
        "place, merged; default: auto of fptquant, else off")
        ->check(CLI::IsMember({"on", "off", "auto", "static"}));
    add("--eps", eps, "what S_n adds to squares: eps S^2, which is exact, or eps, as other code does")
        ->check(CLI::IsMember({"exact", "plain"}))
        ->capture_default_str();
    add("--value-transform", value_transform,
        "form of T_v; default: dense of fptquant, orthogonal of spinquant")
        ->check(CLI::IsMember({"dense", "svd", "orthogonal", "low-rank"}));
    add("--value-rank", value_rank, "rank of low-rank T_v; default: an eighth of head_dim")->check(positive);
    add("--residual-start", residual_start, "where T_r starts: a Hadamard matrix or the identity")
        ->check(CLI::IsMember({"hadamard", "identity"}))
        ->capture_default_str();
    add("--value-start", value_start,
        "where T_v starts: a Hadamard matrix, the identity, or in closed form from second moments")
        ->check(CLI::IsMember({"hadamard", "identity", "moments"}))
        ->capture_default_str();
    add("--up-start", up_start, "where T_u starts: the identity, or in closed form from second moments")
        ->check(CLI::IsMember({"identity", "moments"}))
        ->capture_default_str();
    add("--rotation", rotation, "form of rotations")
        ->check(CLI::IsMember({"cayley", "qr"}))
        ->capture_default_str();
    add("--loss", loss,
        "divergence from the original: Jensen-Shannon, Kullback-Leibler, the same among the 100 likeliest\n"
        "tokens; or next tokens of the text, which overfits")
        ->check(CLI::IsMember({"js", "kl", "top-kl", "next-token"}))
        ->capture_default_str();
    add("--training-windows", windows,
        "windows of --calib to train on, an eighth of them held out; default: all");
    add("--patience", patience,
        "looks at held-out text without improvement, one every 25 steps, before\n"
        "training ends; 0: never")
        ->capture_default_str();
    add("--threads", threads,
        "threads of training and of evaluation; what is trained depends on their number in its last digits")
        ->check(CLI::Range(std::size_t{1}, std::size_t{256}))
        ->capture_default_str();
    command
        .add_flag(
            "--shift-windows", shifts_windows,
            "cut the text into windows at other places in every pass over it: more to learn from a short\n"
            "text, for a quarter more time a step")
        ->group("Recipes that train")
        ->each([this](std::string const&) { given.emplace_back("--shift-windows"); });
    add("--checkpoint", checkpoint,
        "file to keep the state of training in, and to go on from if it is there: of the same job, whose\n"
        "schedule may change, to more --steps for example");
}

bool training_options::was_given(char const* name) const {
    return std::find(given.begin(), given.end(), name) != given.end();
}

std::size_t trial_steps(std::string const& recipe, training_options const& options) {
    return cm::detail::trial_steps(recipe_of(recipe, options, 0, 0));
}

std::string token_scale_remark(std::size_t n_steps, double with, double without) {
    return cm::detail::token_scale_remark(n_steps, with, without);
}

trained_models trained(std::string const& recipe, training_options const& options,
                       cm::decoder<float32> const& model, cm::token_sequences calibration,
                       std::size_t range_windows, cm::quantization_settings const& settings, std::size_t seed,
                       stage_log& stages) {
    auto const r = recipe_of(recipe, options, range_windows, seed);
    auto const text = cm::split_calibration(std::move(calibration));
    interruptible const guard;
    std::optional<progress_bar> bar;
    std::string of_bar;
    auto const show = [&](std::string const& label, std::size_t done, std::size_t total) {
        if (label != of_bar) bar.reset(), bar.emplace(label), stages.begin(label);
        of_bar = label;
        (*bar)(done, total);
    };
    double seconds = 0;
    std::size_t n_steps_here = 0;
    cm::training_watch watch;
    watch.progress = show;
    watch.distillation = [&](cm::distillation_progress const& p) {
        std::string const left = p.seconds_left < 90 ? formatted("%.0f s", p.seconds_left)
                                                     : formatted("%.0f min", p.seconds_left / 60);
        if (of_bar != "training") bar.reset(), bar.emplace("training"), stages.begin("training");
        of_bar = "training";
        bar->relabel("training, held out " + formatted("%.4f", p.held_out) + ", " + left + " left");
        (*bar)(p.step, p.n_steps);
        n_steps_here = p.seconds < seconds ? 1 : n_steps_here + 1;  // a trial comes before the run itself
        seconds = p.seconds;
    };
    watch.stop = [] { return interrupted.load(); };
    watch.checkpoint = options.checkpoint;
    cm::random_source random(seed);
    auto outcome = cm::train(model, text, settings, r, random, watch);
    bar.reset();

    trained_models found;
    found.interrupted = interrupted.load();
    for (auto const& stage : outcome.stages) {
        found.stages.push_back({stage.name, behind_one_type(stage.parameters.transforms, r.distillation.eps),
                                cm::grids_of(stage.parameters.grids, settings), stage.held_out});
        found.stages.back().plan.notes = outcome.notes;
    }
    auto const& transforms = outcome.stages.back().parameters.transforms;
    found.numbers = {
        {"transforms", site_names(transforms.chosen)},
        {"parameters", trained_numbers(transforms)},
        {"training_windows", text.training.windows().size()},
        {"held_out_windows", text.held_out.windows().size()},
        {"local",
         {{"steps", r.local.n_steps},
          {"p", r.local.p},
          {"norms_before", outcome.local.loss_before},
          {"norms_after", outcome.local.loss_after},
          {"gradient_norms", by_site(outcome.local.gradient_norms)},
          {"movements", by_site(outcome.local.movements)}}},
        {"steps", outcome.steps},
        {"best_step", outcome.best_step},
        {"seconds_per_step", n_steps_here == 0 ? 0.0 : seconds / static_cast<double>(n_steps_here)},
        {"held_out", json::object()},
        {"curve", loss_curve(outcome.history)}};
    for (auto const& stage : outcome.stages) found.numbers["held_out"][stage.name] = stage.held_out;
    return found;
}

}  // namespace program
