# SPDX-FileCopyrightText: The commutant authors
# SPDX-License-Identifier: Apache-2.0

# Every public header compiles with nothing in front of it, its syntax only. Headers are compiled in chains, each behind
# one that it includes itself and that is therefore in front of it in any case: what they have in common, which takes
# most of the time, is read once for each chain.
cmake_minimum_required(VERSION 3.25)

file(GLOB_RECURSE headers RELATIVE "${SOURCE_DIR}/include" "${SOURCE_DIR}/include/commutant/*.hpp")
foreach(header IN LISTS headers)
    file(READ "${SOURCE_DIR}/include/${header}" text)
    # What is included under conditions may not be.
    string(REGEX REPLACE "\n#if.*" "" text "${text}")
    string(REGEX MATCHALL "\n#include <commutant/[^>]+>" direct "${text}")
    list(TRANSFORM direct REPLACE ".*<(.+)>" "\\1")
    set("direct_${header}" "${direct}")
endforeach()

# find_below(header): the headers that it includes, directly or not, in the global property "below HEADER".
function(find_below header)
    get_property(known GLOBAL PROPERTY "below ${header}" SET)
    if(known)
        return()
    endif()
    set_property(GLOBAL PROPERTY "below ${header}" "")
    set(below "")
    foreach(direct IN LISTS "direct_${header}")
        find_below("${direct}")
        get_property(of_direct GLOBAL PROPERTY "below ${direct}")
        list(APPEND below "${direct}" ${of_direct})
    endforeach()
    list(REMOVE_DUPLICATES below)
    set_property(GLOBAL PROPERTY "below ${header}" "${below}")
endfunction()

# longest_below(headers out): the one that most are below.
function(longest_below headers out)
    set(best "")
    set(n_best -1)
    foreach(header IN LISTS headers)
        get_property(below GLOBAL PROPERTY "below ${header}")
        list(LENGTH below n)
        if(n GREATER n_best)
            set(best "${header}")
            set(n_best ${n})
        endif()
    endforeach()
    set(${out} "${best}" PARENT_SCOPE)
endfunction()

foreach(header IN LISTS headers)
    find_below("${header}")
endforeach()
file(REMOVE_RECURSE "${BINARY_DIR}/chains")
set(left "${headers}")
set(n_chains 0)
while(left)
    set(among "${left}")
    set(chain "")
    while(among)
        longest_below("${among}" header)
        string(PREPEND chain "#include <${header}>\n")
        list(REMOVE_ITEM left "${header}")
        get_property(among GLOBAL PROPERTY "below ${header}")
        set(candidates "")
        foreach(below IN LISTS among)
            if(below IN_LIST left)
                list(APPEND candidates "${below}")
            endif()
        endforeach()
        set(among "${candidates}")
    endwhile()
    file(WRITE "${BINARY_DIR}/chains/chain_${n_chains}.cpp" "${chain}")
    math(EXPR n_chains "${n_chains} + 1")
endwhile()
list(LENGTH headers n_headers)
message(STATUS "${n_headers} headers in ${n_chains} chains")

file(
    WRITE "${BINARY_DIR}/CMakeLists.txt"
    "cmake_minimum_required(VERSION 3.25)
project(headers LANGUAGES CXX)
set(COMMUTANT_DEVELOPER_MODE OFF)
set(CMAKE_CXX_EXTENSIONS OFF)
add_subdirectory(\"${SOURCE_DIR}\" commutant)
file(GLOB chains chains/*.cpp)
add_library(chains OBJECT \${chains})
target_link_libraries(chains PRIVATE commutant::io)
target_compile_options(chains PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Werror)
"
)
execute_process(
    COMMAND
        "${CMAKE_COMMAND}" -S "${BINARY_DIR}" -B "${BINARY_DIR}/build" -G "${GENERATOR}" "-DCMAKE_CXX_COMPILER=${COMPILER}"
        -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-fsyntax-only
    COMMAND_ERROR_IS_FATAL ANY
)
execute_process(COMMAND "${CMAKE_COMMAND}" --build "${BINARY_DIR}/build" --target chains COMMAND_ERROR_IS_FATAL ANY)
