// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "html.hpp"

#include <cstdio>

namespace program::html {

std::string escaped(std::string_view text) {
    std::string r;
    for (char const c : text) switch (c) {
            case '&':
                r += "&amp;";
                break;
            case '<':
                r += "&lt;";
                break;
            case '>':
                r += "&gt;";
                break;
            case '"':
                r += "&quot;";
                break;
            default:
                r += c;
        }
    return r;
}

std::string attribute(std::string_view name, std::string_view value) {
    return " " + std::string(name) + "=\"" + escaped(value) + "\"";
}

std::string attribute(std::string_view name, double value) {
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, "%.6g", value);
    return attribute(name, std::string_view(buffer));
}

std::string element(std::string_view name, std::string_view attributes, std::string_view content) {
    std::string r = "<" + std::string(name) + std::string(attributes) + ">";
    r += content;
    return r + "</" + std::string(name) + ">";
}

std::string element(std::string_view name, std::string_view attributes) {
    return "<" + std::string(name) + std::string(attributes) + "/>";
}

std::string table(std::vector<std::vector<std::string>> const& rows) {
    std::string head, body;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        std::string cells;
        for (std::size_t j = 0; j < rows[i].size(); ++j) {
            std::string const scope = i == 0   ? attribute("scope", "col")
                                      : j == 0 ? attribute("scope", "row")
                                               : "";
            cells += element(scope.empty() ? "td" : "th", scope, rows[i][j]);
        }
        (i == 0 ? head : body) += element("tr", "", cells) + "\n";
    }
    return element("table", "",
                   "\n" + element("thead", "", head) + "\n" + element("tbody", "", "\n" + body)) +
           "\n";
}

}  // namespace program::html
