// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// commutant transform: the data-free stage alone, block by block, for models that do not fit into memory.

#include <chrono>
#include <iostream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

#include <CLI/CLI.hpp>

#include <commutant/io/atomic_directory.hpp>
#include <commutant/recipes/starting_parameters.hpp>
#include <commutant/recipes/streamed_stage.hpp>

#include "command.hpp"
#include "input.hpp"
#include "interruption.hpp"
#include "output.hpp"
#include "process_memory.hpp"
#include "runs.hpp"
#include "transform_sites.hpp"

namespace program {
namespace {

struct transform_options {
    std::string model{};
    std::string recipe = "fptquant";
    std::string transforms{};
    std::string value_transform{};
    std::string rotation = "cayley";
    std::string out{};
    std::string dtype{};
    cm::streaming_options streaming{.local = {.last_rate = 0.1, .n_threads = 2}};
    json_output output{};

    [[nodiscard]] cm::transform_forms forms() const {
        auto f = recipe == "spinquant" ? cm::spinquant_forms() : cm::fptquant_forms();
        if (!transforms.empty()) f.chosen = parsed_transforms(transforms);
        if (f.chosen.token_scale)
            throw usage_error(
                "transform: --transforms names token_scale, expected sites of transforms that "
                "merge, or down_input");
        if (value_transform == "dense") f.values = cm::value_form::dense;
        if (value_transform == "svd") f.values = cm::value_form::svd;
        if (value_transform == "orthogonal") f.values = cm::value_form::orthogonal;
        if (rotation == "qr") f.rotations = cm::orthogonal_form::qr;
        return f;
    }
};

/// What the stage is at, with the time that is left of it.
class stage_progress {
public:
    void operator()(std::string const& stage, std::size_t done, std::size_t total) {
        if (stage != stage_) bar_.reset(), bar_.emplace(stage), begin_ = clock::now(), stage_ = stage;
        double const seconds = std::chrono::duration<double>(clock::now() - begin_).count();
        double const left =
            done == 0 ? 0 : seconds / static_cast<double>(done) * static_cast<double>(total - done);
        if (done != 0)
            bar_->relabel(stage + ", " +
                          (left < 90 ? formatted("%.0f s", left) : formatted("%.0f min", left / 60)) +
                          " left");
        (*bar_)(done, total);
    }

private:
    using clock = std::chrono::steady_clock;
    std::string stage_{};
    clock::time_point begin_{};
    std::optional<progress_bar> bar_{};
};

/// Bytes of a block's weights, or of the embedding's, in float64: what the peak of memory is to be compared with.
std::size_t layer_bytes(cm::io::checkpoint const& source) {
    std::size_t n = 0;
    for (auto const& name : source.names())
        if (name.starts_with("model.layers.0.")) n += source.size(name);
    return n * sizeof(double);
}

int run_transform(transform_options const& options) {
    auto const begin = std::chrono::steady_clock::now();
    auto const forms = options.forms();
    options.output.require_writable();
    fs::path const path = model_path(options.model);
    auto const source = cm::io::checkpoint::open(path);
    cm::io::atomic_directory out(options.out);

    cm::random_source random(options.streaming.seed);
    auto transforms = cm::starting_parameters<float32>(source.config(), forms, random);
    cm::streaming_report r;
    {
        interruptible const guard;
        stage_progress progress;
        cm::streaming_watch const watch{std::ref(progress), [] { return interrupted.load(); }};
        try {
            r = cm::transform_checkpoint(source, transforms, out.path(), options.streaming, watch);
        } catch (cm::interrupted const&) {
            throw std::runtime_error("transform: interrupted, nothing has been written");
        }
    }
    for (auto const& file : cm::side_files(source)) out.copy_in(file);

    std::vector<std::string> remarks = r.merge.warnings;
    if (forms.chosen.query_key && !transforms.chosen.query_key)
        remarks.push_back("without T_k: q/k norms stand between the projections and RoPE");
    if (transforms.chosen.down_input)
        remarks.push_back("T_d, blocks of " + std::to_string(transforms.down_input.block()) +
                          ", was part of the loss and is not merged: `quantize --recipe grids --transforms "
                          "down_input` runs "
                          "it online");
    double const seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    json const numbers{
        {"model", path.string()},
        {"recipe", options.recipe},
        {"seed", options.streaming.seed},
        {"transforms", site_names(transforms.chosen)},
        {"steps", options.streaming.local.n_steps},
        {"p", options.streaming.local.p},
        {"last_rate", options.streaming.local.last_rate},
        {"sample_rows", options.streaming.sample_rows},
        {"sample_layers", options.streaming.sample_layers},
        {"threads", options.streaming.local.n_threads},
        {"norms",
         {{"original", r.original_norms}, {"before", r.local.loss_before}, {"after", r.local.loss_after}}},
        {"gradient_norms", by_site(r.local.gradient_norms)},
        {"movements", by_site(r.local.movements)},
        {"condition", r.merge.condition},
        {"remarks", remarks},
        {"storage", {{"values", r.storage.values}, {"subnormal", r.storage.subnormal}}},
        {"seconds",
         {{"residual_stream", r.rotation_seconds},
          {"embedding_and_head", r.rows_seconds},
          {"layers", r.layer_seconds},
          {"all", seconds}}},
        {"layer_bytes", layer_bytes(source)},
        {"embedding_bytes", source.size("model.embed_tokens.weight") * sizeof(double)},
        {"peak_rss_bytes", peak_rss_bytes()},
        {"out", options.out}};
    auto pending = options.output.prepare(numbers);
    out.commit();
    pending.commit();
    for (auto const& remark : remarks) say(remark);
    if (options.output.owns_stdout()) return done;

    std::cout << path.filename().string() << ", L" << options.streaming.local.p
              << " norms of merged weights\n";
    table norms({"", "sum of norms"});
    norms.add({"as stored", formatted("%.4f", r.original_norms)});
    norms.add({"before training, from samples", formatted("%.4f", r.local.loss_before)});
    norms.add({"after training", formatted("%.4f", r.local.loss_after)});
    norms.print();
    std::cout << '\n';
    table groups({"transform at", "first gradient", "moved by"});
    for (std::size_t g = 0; g < 4; ++g)
        groups.add({std::string(to_string(static_cast<cm::parameter_group>(g))),
                    formatted("%.3g", r.local.gradient_norms[g]), formatted("%.3g", r.local.movements[g])});
    groups.print();
    double in_layers = 0;
    for (double const s : r.layer_seconds) in_layers += s;
    std::cout << '\n'
              << formatted("%.1f", seconds) << " s: T_r " << formatted("%.1f", r.rotation_seconds)
              << ", embedding and head " << formatted("%.1f", r.rows_seconds) << ", a block "
              << formatted("%.1f", in_layers / static_cast<double>(r.layer_seconds.size()))
              << "; peak memory " << formatted("%.0f", static_cast<double>(peak_rss_bytes()) / 1e6)
              << " MB; wrote " << options.out << '\n';
    return done;
}

}  // namespace

void add_transform(CLI::App& app, chosen_command& chosen) {
    auto const options = std::make_shared<transform_options>();
    CLI::App* const command = app.add_subcommand(
        "transform", "find transforms without data and merge them, one block in memory at a time");
    command->footer(
        "Weights are read where they lie, sampled for training, and written block by block: memory holds one "
        "block, a few\n"
        "thousand rows of the embedding and T_r. The folder is a plain checkpoint with the same function.\n\n"
        "Then `commutant quantize DIR --recipe grids --transforms down_input` quantises it.\n\n"
        "  commutant transform MODEL --out DIR");
    auto const positive = CLI::Range(std::size_t{1}, std::size_t{1} << 40);
    auto& s = options->streaming;
    command->add_option("MODEL", options->model, "Hugging Face folder or llama2.c .bin");
    command->add_option("--out", options->out, "folder to write; it must not exist")->required();
    command
        ->add_option("--recipe", options->recipe,
                     "fptquant: T_r, T_k, T_v and T_u. spinquant: rotations at T_r and T_v. Both with T_d in "
                     "the loss")
        ->check(CLI::IsMember({"fptquant", "spinquant"}))
        ->capture_default_str();
    command->add_option("--transforms", options->transforms,
                        "sites of the transforms, separated by commas, or none; default: the recipe's");
    command
        ->add_option("--value-transform", options->value_transform,
                     "form of T_v; default: dense of fptquant, orthogonal of spinquant")
        ->check(CLI::IsMember({"dense", "svd", "orthogonal"}));
    command->add_option("--rotation", options->rotation, "form of rotations")
        ->check(CLI::IsMember({"cayley", "qr"}))
        ->capture_default_str();
    command->add_option("--local-steps", s.local.n_steps, "steps of T_r, and of the others in each block")
        ->capture_default_str();
    command
        ->add_option("--last-rate", s.local.last_rate,
                     "learning rate at the last step, as a share of that at the first; 1: it stays")
        ->check(CLI::Range(0.0, 1.0))
        ->capture_default_str();
    command->add_option("--p-local", s.local.p, "norm of the weights that is made small")
        ->check(CLI::Range(2, 8))
        ->capture_default_str();
    command
        ->add_option("--sample-rows", s.sample_rows,
                     "rows, or columns, of each weight that a step looks at, on each thread")
        ->check(positive)
        ->capture_default_str();
    command
        ->add_option("--sample-layers", s.sample_layers, "blocks that a step of T_r looks at, of all threads")
        ->check(positive)
        ->capture_default_str();
    command
        ->add_option("--threads", s.local.n_threads,
                     "threads; the samples, and with them the result, depend on their number")
        ->check(CLI::Range(std::size_t{1}, std::size_t{256}))
        ->capture_default_str();
    command->add_option("--dtype", options->dtype, "storage type; default: that of MODEL")
        ->check(CLI::IsMember({"float32", "float16", "bfloat16"}));
    command->add_option("--seed", s.seed, "of random signs and samples")->capture_default_str();
    command
        ->add_option("--max-condition", s.limits.refuse, "refuse transforms with a larger condition number")
        ->capture_default_str();
    options->output.add_to(*command);
    command->callback([options, &chosen] {
        options->streaming.store_as = storage_type(options->dtype);
        chosen = [options] { return run_transform(*options); };
    });
}

}  // namespace program
