// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// commutant quantize: the whole pipeline. Transforms are found and merged, everything is quantised, and a table says what
// each step did to the likelihood of a text.

#include <algorithm>
#include <cmath>
#include <iostream>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include <commutant/io/atomic_directory.hpp>
#include <commutant/recipes/merged_folder.hpp>
#include <commutant/recipes/quantized_folder.hpp>

#include "ablation.hpp"
#include "command.hpp"
#include "distributions.hpp"
#include "pipeline.hpp"
#include "report/output.hpp"

namespace program {
namespace {

struct quantize_options {
    std::string model{};
    std::string out{};
    std::string dtype{};
    bool ablation = false;
    bool distributions = false;
    method_options method{};
    window_options windows{};
    json_output output{};
    report_output report{};

    [[nodiscard]] std::optional<cm::io::dtype> store_as() const { return storage_type(dtype); }
};

/// The folders that --out asks for, filled while a run goes on.
class folders_output {
public:
    folders_output(std::string const& target, shared_inputs const& inputs,
                   std::optional<cm::io::dtype> store_as)
        : inputs_(inputs), store_as_(store_as), out_(target), copied_files_(cm::side_files(inputs.source())) {
        auto const tokenizer = inputs.reader().tokenizer_path();
        auto& files = copied_files_;
        if (tokenizer && std::find(files.begin(), files.end(), *tokenizer) == files.end())
            files.push_back(*tokenizer);
    }

    /// A plain checkpoint.
    void write_merged(cm::decoder<float64> const& model) {
        fs::path const folder = made("merged");
        storage = cm::write_merged_folder(folder, model, inputs_.source(), store_as_);
        config_text_ = cm::merged_config_text(model.config, inputs_.source(), store_as_);
        copy_files(folder);
    }

    void write_quantized(cm::quantized_decoder<float32> const& model) {
        fs::path const folder = made("quantized");
        cm::write_quantized_folder(folder, model, config_text_);
        copy_files(folder);
    }

    void commit() { out_.commit(); }

    cm::io::storage_report storage{};

private:
    [[nodiscard]] fs::path made(char const* name) const {
        fs::path const path = out_.path() / name;
        std::error_code error;
        if (!fs::create_directory(path, error))
            throw cm::io::output_error(path.string(), "cannot be created: " + error.message());
        return path;
    }

    void copy_files(fs::path const& folder) const {
        for (auto const& file : copied_files_) {
            auto const from = cm::io::mapped_file::open(file);
            cm::io::atomic_file to(folder / file.filename());
            to.append(from.bytes());
            to.commit();
        }
    }

    shared_inputs const& inputs_;
    std::optional<cm::io::dtype> store_as_;
    cm::io::atomic_directory out_;
    std::vector<fs::path> copied_files_;  ///< into both folders
    std::string config_text_{};
};

void print_table(quantize_options const& options, fs::path const& path, run_outcome const& r,
                 std::optional<double> stored, stage_log const& stages) {
    auto const& m = options.method;
    std::cout << path.filename().string() << ", weights-activations-KV " << m.bits << ", " << m.coverage
              << ", " << (m.dynamic ? "dynamic" : "static") << ", " << m.range_words() << ", "
              << r.evaluation_tokens << " tokens\n";
    table rows({"", "NLL", "perplexity", "rtn's loss won back"});
    auto const add = [&](std::string const& name, double x, std::string const& share) {
        rows.add({name, formatted("%.4f", x), formatted("%.3f", std::exp(x)), share});
    };
    auto const share = [&](double x) { return formatted("%.1f %%", 100 * r.won_back(x)); };
    add("float", r.original, "");
    add("merged by " + m.recipe, r.merged, "");
    if (stored) add("merged, as stored", *stored, "");
    add("rtn " + m.bits, r.rtn, "0 %");
    for (auto const& [stage, x] : r.stages) add(m.recipe + " " + m.bits + ", " + stage, x, share(x));
    if (m.recipe != "rtn") add(m.recipe + " " + m.bits, r.quantized, share(r.quantized));
    rows.print();
    std::cout << formatted("%.1f", stages.seconds()) << " s, peak memory "
              << formatted("%.0f", static_cast<double>(stages.peak_rss_bytes()) / 1e6) << " MB";
    if (!options.out.empty())
        std::cout << "; wrote " << options.out << "/merged and " << options.out << "/quantized";
    std::cout << '\n';
}

int run_quantize(quantize_options options) {
    stage_log stages;
    if (options.model.empty()) options.method.use_bundled_texts();
    options.method.require_complete();
    options.output.require_writable();
    options.report.require_writable();
    shared_inputs inputs(model_path(options.model), options.windows);
    auto const texts = inputs.texts(options.method);

    std::optional<folders_output> out;
    std::optional<double> stored;  // NLL of what the merged folder holds
    run_watch watch;
    if (!options.out.empty()) {
        out.emplace(options.out, inputs, options.store_as());
        watch.merged_offline = [&](cm::decoder<float64> const& model) {
            stages.begin("writing");
            out->write_merged(model);
            stages.begin("evaluating");
            stored = labelled_likelihood("merged, as stored",
                                         cm::converted<float32>(cm::rounded_to_storage(model, inputs.source(),
                                                                                       options.store_as())),
                                         *texts.evaluation, options.method.training.threads)
                         .per_token();
        };
        watch.quantized = [&](cm::quantized_decoder<float32> const& model) {
            stages.begin("writing");
            out->write_quantized(model);
        };
    }
    json distributions;
    if (options.distributions || options.report.is_wanted()) {
        // What the table is about shows what the quantisers meet; a few windows of it suffice.
        auto windows = *texts.evaluation;
        windows.resize(std::min(windows.size(), std::size_t{16}));
        auto const of = [&stages, windows = std::move(windows), &m = options.method](
                            char const* label, cm::decoder<float32> const& model) {
            stages.begin("distributions");
            return distributions_of(label, model, windows, cm::parse_coverage(m.coverage));
        };
        distributions["before"] = of("distributions before", inputs.original());
        watch.merged = [&distributions, of](cm::decoder<float32> const& model) {
            distributions["after"] = of("distributions after", model);
        };
    }
    using keeping = pipeline::keeping;
    pipeline runs(inputs, options.ablation ? keeping::last_model : keeping::nothing);
    run_outcome const r = runs.run(options.method, stages, watch);
    json ablation;
    if (options.ablation && !r.interrupted) ablation = ablation_of(runs, options.method, stages);

    json numbers = numbers_of(inputs.path(), options.method, r, stages);
    if (stored) {
        numbers["nll"]["stored"] = *stored;
        numbers["storage"] = {{"values", out->storage.values}, {"subnormal", out->storage.subnormal}};
        numbers["out"] = options.out;
    }
    if (!ablation.is_null()) numbers["ablation"] = std::move(ablation);
    if (!distributions.is_null()) numbers["distributions"] = std::move(distributions);
    auto pending = options.output.prepare(numbers);
    auto page = options.report.prepare(numbers);
    if (out) out->commit();
    if (page) page->commit();
    pending.commit();
    for (auto const& remark : r.remarks) say(remark);
    if (!options.output.owns_stdout()) print_table(options, inputs.path(), r, stored, stages);
    return r.is_finite() ? done : check_failed;
}

}  // namespace

void add_quantize(CLI::App& app, chosen_command& chosen) {
    auto const options = std::make_shared<quantize_options>();
    CLI::App* const command = app.add_subcommand(
        "quantize", "transform, merge, quantise; a table of what each step cost; both models");
    command->footer(
        "--out writes DIR/merged, a plain Hugging Face folder with the same function, and DIR/quantized, "
        "integer codes and\n"
        "grids that `commutant eval` reads back and other programs refuse.\n\n"
        "  commutant quantize                              the bundled model and its texts\n"
        "  commutant quantize MODEL --bits 4-8-4 --calib a.txt --eval b.txt --out DIR");
    command->add_option("MODEL", options->model, "Hugging Face folder or llama2.c .bin");
    options->method.add_to(*command);
    command->add_option("--out", options->out, "folder to write; it must not exist");
    command->add_option("--dtype", options->dtype, "storage type of DIR/merged; default: that of MODEL")
        ->check(CLI::IsMember({"float32", "float16", "bfloat16"}));
    command->add_flag(
        "--ablation", options->ablation,
        "also run with each transform alone, with all but each, and with one quantiser at a time");
    command->add_flag(
        "--distributions", options->distributions,
        "also say how activations and weights are distributed before and after; on with --report");
    options->windows.add_to(*command);
    options->output.add_to(*command);
    options->report.add_to(*command);
    command->callback([command, options, &chosen] {
        options->method.given = given_options(*command, names_added_by(&method_options::add_to));
        chosen = [options] { return run_quantize(*options); };
    });
}

}  // namespace program
