# SPDX-FileCopyrightText: The commutant authors
# SPDX-License-Identifier: Apache-2.0

# PAGE describes the options of PROGRAM: each command's section, and the part in front of the first one, which is about
# all commands, name every option that the command's --help lists, and nothing that no command has.
cmake_minimum_required(VERSION 3.25)
set(commands inspect check eval quantize study report transform generate)
set(option "--[a-z][a-z-]*[a-z]|--p")
set(errors "")

# options_of(text out): the options that a text names.
function(options_of text out)
    string(REGEX MATCHALL "${option}" names "${text}")
    list(REMOVE_DUPLICATES names)
    set(${out} "${names}" PARENT_SCOPE)
endfunction()

file(READ "${PAGE}" page)
string(REPLACE ";" "," page "${page}")
string(FIND "${page}" "\n## inspect\n" first)
if(first EQUAL -1)
    message(FATAL_ERROR "${PAGE}: the section 'inspect' is missing")
endif()
string(SUBSTRING "${page}" 0 ${first} general)
options_of("${general}" of_all)
options_of("${page}" named)

set(known --help --version)
foreach(command IN LISTS commands)
    execute_process(
        COMMAND "${PROGRAM}" ${command} --help
        OUTPUT_VARIABLE help
        RESULT_VARIABLE result
    )
    if(NOT result EQUAL 0)
        message(FATAL_ERROR "${PROGRAM} ${command} --help ended with ${result}")
    endif()
    if(NOT page MATCHES "\n## ${command}\n")
        string(APPEND errors "${PAGE}: the section '${command}' is missing\n")
        continue()
    endif()
    string(REGEX REPLACE ".*\n## ${command}\n" "" section "${page}")
    string(REGEX REPLACE "\n## .*" "" section "${section}")
    options_of("${section}" of_section)
    string(REPLACE ";" "," help "${help}")
    string(REGEX REPLACE "^.*\nOptions:" "" help "${help}")
    options_of("${help}" of_help)
    if(NOT of_help)
        string(APPEND errors "${command} --help lists no option\n")
    endif()
    list(APPEND known ${of_help})
    foreach(name IN LISTS of_help)
        if(NOT name IN_LIST of_section AND NOT name IN_LIST of_all)
            string(APPEND errors "${PAGE}: the section '${command}' does not name ${name}\n")
        endif()
    endforeach()
endforeach()
foreach(name IN LISTS named)
    if(NOT name IN_LIST known)
        string(APPEND errors "${PAGE}: no command has ${name}\n")
    endif()
endforeach()

if(NOT errors STREQUAL "")
    message(FATAL_ERROR "\n${errors}")
endif()
list(REMOVE_DUPLICATES known)
list(LENGTH known n_known)
message(STATUS "${n_known} options")
