// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include "small_models.hpp"

using namespace program_test;

namespace {

/// Arguments with another value behind an option.
words replaced(words a, std::string const& option, std::string const& value) {
    auto const at = std::find(a.begin(), a.end(), option);
    REQUIRE(at != a.end());
    *(at + 1) = value;
    return a;
}

struct study_job {
    scratch_folder scratch{};
    fs::path model = make_folder_model(scratch / "model");
    fs::path calib = make_training_text(scratch / "calib.txt"), text = make_text(scratch / "text.txt");

    [[nodiscard]] words arguments(std::string const& results, words const& more = {}) const {
        return with({"study",
                     "table",
                     model.string(),
                     "--calib",
                     calib.string(),
                     "--eval",
                     text.string(),
                     "--results",
                     (scratch / results).string(),
                     "--bits",
                     "4-8-4",
                     "--seeds",
                     "1,2",
                     "--steps",
                     "2",
                     "--local-steps",
                     "2",
                     "--batch",
                     "2",
                     "--threads",
                     "1"},
                    more);
    }
    [[nodiscard]] outcome study(std::string const& results, words const& more = {}) const {
        outcome r = run(arguments(results, more));
        CAPTURE(r.err);
        CHECK(r.code == 0);
        return r;
    }
    [[nodiscard]] nlohmann::json file(std::string const& results) const {
        return nlohmann::json::parse(read_file(scratch / results));
    }
};

std::set<std::string> keys_of(nlohmann::json const& results) {
    std::set<std::string> keys;
    for (auto const& r : results.at("runs")) keys.insert(r.at("key").get<std::string>());
    return keys;
}

}  // namespace

TEST_CASE("study: a table of all methods, each the run that its command says", "[program]") {
    study_job const job;
    outcome const all = job.study("all.json");
    for (char const* label :
         {"| float |", "| round to nearest, min-max |", "| round to nearest |", "| Hadamard |",
          "| local stage |", "| grids alone, trained |", "| SpinQuant's transforms, trained |",
          "| FPTQuant without S_n |", "| FPTQuant with S_n |", "| FPTQuant, S_n where it helps |", "4-8-4",
          "seeds: 1, 2"})
        CHECK_THAT(all.out, Catch::Contains(label));
    CHECK_THAT(all.out, !Catch::Contains(" - |"));
    auto const results = job.file("all.json");
    // Nothing is random in two of the rows; the others have two seeds.
    CHECK(results.at("runs").size() == 2 + 7 * 2);
    CHECK(keys_of(results).size() == results.at("runs").size());

    outcome const listed = job.study("none.json", {"--list"});
    CHECK(!fs::exists(job.scratch / "none.json"));
    CHECK(std::count(listed.out.begin(), listed.out.end(), '\n') == 2 + 7 * 2);
    // What tries S_n is told from the runs with and without it; its command says the same.
    auto const& list = results.at("runs");
    auto const tried =
        static_cast<std::size_t>(std::find_if(list.begin(), list.end(),
                                              [](auto const& r) {
                                                  return r.at("key").template get<std::string>().find(
                                                             "--token-scale auto") != std::string::npos;
                                              }) -
                                 list.begin());
    REQUIRE(tried < list.size());
    CHECK_THAT(list.at(tried).at("numbers").at("remarks").back().get<std::string>(),
               Catch::Contains("numbers are those of the run with that choice"));
    for (std::size_t k : {std::size_t{0}, tried, list.size() - 1}) {
        auto const& one = list.at(k);
        auto const command = one.at("command").get<std::string>();
        CHECK_THAT(listed.out, Catch::Contains(command + "\n"));
        std::string const prefix = "commutant ";
        REQUIRE(command.substr(0, prefix.size()) == prefix);
        scratch_folder const streams;
        std::string const line = quoted(std::getenv("COMMUTANT_PROGRAM")) + " " +
                                 command.substr(prefix.size()) + " --json - > " +
                                 quoted((streams / "out").string());
        REQUIRE(std::system(line.c_str()) == 0);
        auto const again = nlohmann::json::parse(read_file(streams / "out"));
        CHECK(again.at("nll") == one.at("numbers").at("nll"));
    }
}

TEST_CASE("study: finished runs are kept, and only missing ones are done", "[program]") {
    study_job const job;
    words const only{"--only", "nearest|Hadamard|grids"};
    outcome const whole = job.study("whole.json", only);
    CHECK_THAT(whole.err, Catch::Contains("[6/6]"));

    // As after an interruption: the last two runs are not there.
    auto part = job.file("whole.json");
    auto& runs = part.at("runs");
    runs.erase(runs.size() - 1);
    runs.erase(runs.size() - 1);
    write_file(job.scratch / "part.json", part.dump());
    outcome const rest = job.study("part.json", only);
    CHECK_THAT(rest.err, Catch::Contains("[2/2]"));
    CHECK(rest.out == whole.out);
    CHECK(keys_of(job.file("part.json")) == keys_of(job.file("whole.json")));

    outcome const nothing = job.study("part.json", only);
    CHECK_THAT(nothing.err, !Catch::Contains("["));
    // Other options, other runs: what was there stays.
    outcome const other = job.study("part.json", with(only, {"--p", "4"}));
    CHECK_THAT(other.err, Catch::Contains("/6]"));
    CHECK(job.file("part.json").at("runs").size() == 12);
}

TEST_CASE("study: processes share the work, and their files are joined", "[program]") {
    study_job const job;
    words const only{"--only", "nearest|Hadamard"};
    outcome const whole = job.study("whole.json", only);
    outcome const first = job.study("first.json", with(only, {"--part", "1/2"}));
    CHECK_THAT(first.err, Catch::Contains("2 of 4 runs are missing"));
    static_cast<void>(job.study("second.json", with(only, {"--part", "2/2"})));
    auto const a = keys_of(job.file("first.json")), b = keys_of(job.file("second.json"));
    CHECK(a.size() == 2);
    CHECK(b.size() == 2);
    outcome const joined =
        job.study("joined.json", with(only, {"--join", (job.scratch / "first.json").string(),
                                             (job.scratch / "second.json").string()}));
    CHECK(joined.out == whole.out);
    CHECK(keys_of(job.file("joined.json")) == keys_of(job.file("whole.json")));
}

TEST_CASE("study: an interrupt keeps what is finished, and the state of what is not", "[program]") {
    study_job const job;
    auto const endless =
        replaced(replaced(job.arguments("cut.json", {"--only", "nearest, min|grids"}), "--seeds", "1"),
                 "--steps", "10000000");
    outcome const cut = run(endless, "timeout --foreground --preserve-status -s INT 4");
    CAPTURE(cut.err);
    CHECK(cut.code == 1);
    CHECK_THAT(cut.err, Catch::Contains("1 of 2 runs are missing: interrupted; the same command goes on"));
    CHECK(job.file("cut.json").at("runs").size() == 1);
    auto const files = listing(job.scratch.path());
    CHECK(std::count_if(files.begin(), files.end(), [](std::string const& name) {
              return name.rfind("cut.json.", 0) == 0 && name.ends_with(".safetensors");
          }) == 1);
}

TEST_CASE("study: tables go into a page between two lines", "[program]") {
    study_job const job;
    fs::path const page = job.scratch / "page.md";
    write_file(page,
               "before\n<!-- study:table:model:begin -->\nold\n<!-- study:table:model:end -->\nafter\n");
    outcome const r = job.study("r.json", {"--only", "nearest", "--page", page.string()});
    CHECK(read_file(page) ==
          "before\n<!-- study:table:model:begin -->\n" + r.out + "<!-- study:table:model:end -->\nafter\n");
}

TEST_CASE("study: bad input is one line, exit code 2, and nothing written", "[program]") {
    study_job const job;
    write_file(job.scratch / "page.md", "no place\n");
    static_cast<void>(job.study("rtn.json", {"--only", "nearest, min"}));
    auto other = job.file("rtn.json");
    other["study"] = "bits";
    write_file(job.scratch / "other.json", other.dump());
    write_file(job.scratch / "text.json", "{}");
    other["study"] = "table";
    other["model"] = "0123456789abcdef";
    write_file(job.scratch / "model.json", other.dump());
    auto const before = listing(job.scratch.path());
    auto const refuses = [&](words const& arguments, std::string const& text) {
        outcome const r = run(arguments);
        CAPTURE(arguments, r.err);
        CHECK(r.code == 2);
        CHECK(r.n_error_lines() == 1);
        CHECK(r.out.empty());
        CHECK_THAT(r.err, Catch::Contains(text));
        CHECK(listing(job.scratch.path()) == before);
    };
    refuses({"study"}, "NAME is required");
    refuses({"study", "everything"}, "everything");
    refuses(replaced(job.arguments("x.json"), "--results", ""), "give --results FILE");
    refuses(job.arguments("other.json"), "holds results of the study bits, expected table");
    refuses(job.arguments("model.json"), "holds results of another model");
    refuses(job.arguments("text.json"), "is no file of study results");
    refuses(job.arguments("text.txt"), "is not JSON");
    refuses(job.arguments("none/x.json"), "is not a folder");
    refuses(job.arguments("x.json", {"--part", "3/2"}), "--part is '3/2', expected I/N");
    refuses(job.arguments("x.json", {"--part", "0/2"}), "--part is '0/2', expected I/N");
    refuses(job.arguments("x.json", {"--only", "("}), "expected a regular expression");
    refuses(job.arguments("x.json", {"--only", "nothing like it"}), "no run of table is left to do");
    refuses(replaced(job.arguments("x.json"), "--bits", "4-4"), "parse_bit_widths");
    refuses(replaced(job.arguments("x.json"), "--seeds", "one"), "--seed");
    refuses(job.arguments("x.json", {"--checkpoint", "state"}), "--checkpoint is for one run");
    refuses(job.arguments("x.json", {"--page", (job.scratch / "page.md").string()}),
            "has no place for the tables");
    refuses(job.arguments("x.json", {"--join", (job.scratch / "missing.json").string()}), "missing.json");
    refuses(replaced(job.arguments("x.json"), "--calib", job.text.string()),
            "windows of --eval are in --calib too");
}
