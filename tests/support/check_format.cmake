# SPDX-FileCopyrightText: The commutant authors
# SPDX-License-Identifier: Apache-2.0

# cmake -DCLANG_FORMAT=... -DSOURCE_DIR=... -P check_format.cmake: fails when a file differs from what .clang-format asks.
set(patterns "")
foreach(folder IN ITEMS include tests examples bench)
    list(APPEND patterns "${SOURCE_DIR}/${folder}/*.hpp" "${SOURCE_DIR}/${folder}/*.cpp")
endforeach()
file(GLOB_RECURSE files ${patterns})
list(LENGTH files n_files)
if(n_files EQUAL 0)
    message(FATAL_ERROR "format: no source found below ${SOURCE_DIR}")
endif()

# One line for each file: where the differences are is what clang-format -i shows best.
execute_process(
    COMMAND "${CLANG_FORMAT}" --dry-run -Werror ${files}
    ERROR_VARIABLE text
    RESULT_VARIABLE result
)
if(NOT result EQUAL 0)
    string(REGEX MATCHALL "[^\n]+:[0-9]+:[0-9]+: error: code should be" places "${text}")
    list(TRANSFORM places REPLACE ":[0-9]+:[0-9]+: error: code should be$" "")
    list(REMOVE_DUPLICATES places)
    if(NOT places)
        message(FATAL_ERROR "format: ${CLANG_FORMAT} ended with ${result}\n${text}")
    endif()
    list(JOIN places "\n" places)
    message("${places}")
    message(FATAL_ERROR "format: run clang-format -i (version 14) on the files named above")
endif()
message(STATUS "format: ${n_files} files as .clang-format asks")
