// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "small_models.hpp"

using namespace program_test;

namespace {

/// What is wrong with a page, or nothing: every tag that opens is closed, in order, by itself or by a tag.
std::string first_flaw(std::string_view page) {
    std::vector<std::string> open;
    constexpr std::string_view doctype = "<!DOCTYPE html>\n";
    if (!page.starts_with(doctype)) return "no doctype";
    for (std::size_t at = page.find('<', doctype.size()); at != std::string_view::npos;
         at = page.find('<', at + 1)) {
        std::size_t const end = page.find('>', at);
        if (end == std::string_view::npos) return "a tag without end";
        std::string_view const tag = page.substr(at + 1, end - at - 1);
        if (tag.find('<') != std::string_view::npos) return "a tag in a tag: " + std::string(tag);
        std::string const name(tag.substr(0, tag.find_first_of(" /", 1)));
        if (tag.ends_with('/')) continue;
        if (!tag.starts_with('/')) {
            open.push_back(name);
            continue;
        }
        if (open.empty() || "/" + open.back() != name) return "unexpected " + std::string(tag);
        open.pop_back();
    }
    return open.empty() ? "" : "not closed: " + open.back();
}

void require_page(std::string const& page) {
    CHECK(first_flaw(page) == "");
    for (char const* reference : {"http:", "https:", "src=", "href=", "url(", "@import", "<script"})
        CHECK_THAT(page, !Catch::Contains(reference));
    // A figure that is none would show as text, or break a plot.
    for (char const* flaw : {"nan\"", "inf\"", ">nan", ">-nan"}) CHECK_THAT(page, !Catch::Contains(flaw));
}

struct report_job {
    scratch_folder scratch{};
    fs::path model = make_folder_model(scratch / "model <&>");
    fs::path calib = make_training_text(scratch / "calib.txt"), text = make_text(scratch / "text.txt");
    fs::path page = scratch / "report.html";

    [[nodiscard]] words texts(words const& more) const {
        return with(
            {model.string(), "--calib", calib.string(), "--eval", text.string(), "--report", page.string()},
            more);
    }
    [[nodiscard]] std::string written(words const& arguments) const {
        outcome const r = run(arguments);
        CAPTURE(arguments, r.err);
        REQUIRE(r.code == 0);
        return read_file(page);
    }
};

words const two_steps{"--local-steps", "2", "--steps", "2", "--batch", "2", "--threads", "1"};

}  // namespace

TEST_CASE("report: a page that needs nothing but itself, with every section", "[program]") {
    report_job const job;
    fs::path const numbers = job.scratch / "numbers.json";
    std::string const page = job.written(
        with({"quantize"}, job.texts(with(two_steps, {"--recipe", "fptquant", "--bits", "4-8-6", "--ablation",
                                                      "--json", numbers.string()}))));
    require_page(page);
    CHECK_THAT(page, Catch::Contains("model &lt;&amp;&gt;, quantised to 4-8-6"));
    for (char const* section :
         {"Likelihood after each step", "Training", "Without data", "What each part is worth", "Transforms",
          "One quantiser at a time", "Distributions before and after", "Time and memory", "Wall time",
          "Peak memory"})
        CHECK_THAT(page, Catch::Contains(">" + std::string(section) + "</h"));

    auto const r = nlohmann::json::parse(read_file(numbers));
    auto const& ablation = r.at("ablation");
    // None, six alone, all but each of six, all; weights and six activations, of the recipe and of rtn.
    CHECK(ablation.at("transforms").size() == 14);
    CHECK(ablation.at("quantizers").size() == 14);
    for (char const* list : {"transforms", "quantizers"})
        for (auto const& row : ablation.at(list)) {
            CHECK(row.at("nll").get<double>() > 0);
            CHECK_THAT(page, Catch::Contains(row.at("label").get<std::string>()));
        }
    // A tensor alone loses what it loses in the whole run of the same model: less than all together, usually; here only that
    // each is a figure of its own.
    std::set<double> figures;
    for (auto const& row : ablation.at("quantizers")) figures.insert(row.at("nll").get<double>());
    CHECK(figures.size() == 14);

    // The JSON alone gives the same page.
    fs::path const again = job.scratch / "again.html";
    REQUIRE(run({"report", numbers.string(), again.string()}).code == 0);
    CHECK(read_file(again) == page);
}

TEST_CASE("report: distributions are those of the original and of the merged model", "[program]") {
    report_job const job;
    outcome const r =
        run(with({"quantize", "--distributions", "--json", "-", "--recipe", "hadamard", "--bits", "4-4-4"},
                 words{job.model.string(), "--calib", job.calib.string(), "--eval", job.text.string()}));
    REQUIRE(r.code == 0);
    auto const d = r.json().at("distributions");
    for (char const* when : {"before", "after"}) {
        CAPTURE(when);
        CHECK(d.at(when).at("activations").size() == 2 * 6);
        CHECK(d.at(when).at("weights").size() == 2 * 7);
        for (auto const& a : d.at(when).at("activations")) {
            auto const &all = a.at("all"), &behind = a.at("behind_first");
            CHECK(all.at("count").get<int>() > behind.at("count").get<int>());
            CHECK(all.at("max").get<double>() >= behind.at("max").get<double>());
            CHECK(behind.at("max_over_rms").get<double>() ==
                  Approx(behind.at("max").get<double>() / behind.at("rms").get<double>()));
            std::size_t n = 0;
            for (auto const& count : a.at("histogram").at("counts")) n += count.get<std::size_t>();
            CHECK(n == behind.at("count").get<std::size_t>());
            CHECK(a.at("histogram").at("edges").size() == a.at("histogram").at("counts").size() + 1);
        }
    }
    // A rotation keeps the size of a row, so that of a layer's input as a whole: only how it is spread changes.
    auto const& before = d.at("before").at("activations").at(0).at("all");
    auto const& after = d.at("after").at("activations").at(0).at("all");
    CHECK(d.at("before").at("activations").at(0).at("place") == "attention_input");
    CHECK(before.at("kurtosis") != after.at("kurtosis"));
}

TEST_CASE("report: the page of a study", "[program]") {
    report_job const job;
    std::string const page = job.written(
        with({"study", "quantizers", "--results", (job.scratch / "r.json").string(), "--recipe", "hadamard",
              "--bits", "4-8-4", "--seeds", "1,2", "--only", "everything|weights|down_input"},
             job.texts({})));
    require_page(page);
    for (char const* text : {"study: quantizers", "4-8-4, hadamard", "everything", "weights", "down_input",
                             "whisker", "--quantize-only down_input", "seeds: 1, 2"})
        CHECK_THAT(page, Catch::Contains(text));
}

TEST_CASE("report: bad input is one line, exit code 2, and nothing written", "[program]") {
    report_job const job;
    write_file(job.scratch / "list.json", "[1, 2]");
    write_file(job.scratch / "odd.json", "{\"nll\": {\"rtn\": 1}}");
    auto const before = listing(job.scratch.path());
    auto const refuses = [&](words const& arguments, std::string const& text) {
        outcome const r = run(arguments);
        CAPTURE(arguments, r.err);
        CHECK(r.code == 2);
        CHECK(r.n_error_lines() == 1);
        CHECK_THAT(r.err, Catch::Contains(text));
        CHECK(listing(job.scratch.path()) == before);
    };
    auto const to = [&](std::string const& page) {
        return words{"quantize", job.model.string(), "--calib",  job.calib.string(),
                     "--eval",   job.text.string(),  "--report", (job.scratch / page).string()};
    };
    refuses(to("none/report.html"), "is not a folder");
    refuses(to("model <&>"), "is not a regular file");
    refuses(with(to("page.html"), {"--quantize-only", "logits"}),
            "--quantize-only is 'logits', expected weights or");
    refuses(with(to("page.html"), {"--quantize-only", "query"}),
            "--quantize-only is 'query', expected weights or");
    refuses(with(to("page.html"), {"--quantize-only", "weights", "--dynamic"}), "it needs static grids");
    refuses(with(to("page.html"), {"--transforms", "query_key"}),
            "the recipe hadamard has none at \"query_key\"");
    fs::path const page = job.scratch / "page.html";
    refuses({"report", (job.scratch / "missing.json").string(), page.string()}, "missing.json");
    refuses({"report", job.text.string(), page.string()}, "is not JSON");
    refuses({"report", (job.scratch / "list.json").string(), page.string()}, "holds no numbers of a run");
    refuses({"report", (job.scratch / "odd.json").string(), page.string()}, "holds no numbers of a run");
}
