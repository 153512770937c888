# SPDX-FileCopyrightText: The commutant authors
# SPDX-License-Identifier: Apache-2.0

# Sorts the headers below root/commutant by what they need:
#   io         those of commutant/io and those that reach <nlohmann/...>
#   commutant  those that reach <Eigen/...> or <xsimd/...>, directly or through other headers
#   core       the rest: they need the standard library only
# An include counts even inside #if. Contents are read when CMake runs: after moving a header from one set to
# another, run CMake again.
function(commutant_sort_headers root core commutant io)
    file(GLOB_RECURSE headers CONFIGURE_DEPENDS RELATIVE "${root}" "${root}/commutant/*.hpp")

    foreach(header IN LISTS headers)
        set(includes "")
        get_filename_component(folder "${header}" DIRECTORY)
        file(STRINGS "${root}/${header}" lines REGEX "^[ \t]*#[ \t]*include[ \t]*[<\"]")
        foreach(line IN LISTS lines)
            string(REGEX REPLACE "^[^<\"]*[<\"]([^>\"]*)[>\"].*$" "\\1" name "${line}")
            if(NOT name MATCHES "^commutant/" AND EXISTS "${root}/${folder}/${name}")
                cmake_path(SET name NORMALIZE "${folder}/${name}")
            endif()
            list(APPEND includes "${name}")
        endforeach()
        set("includes_${header}" "${includes}")
        set("level_${header}" 0)
        if(header MATCHES "^commutant/io/" OR includes MATCHES "(^|;)nlohmann/")
            set("level_${header}" 2)
        elseif(includes MATCHES "(^|;)(Eigen|unsupported/Eigen|xsimd)/")
            set("level_${header}" 1)
        endif()
    endforeach()

    set(changed TRUE)
    while(changed)
        set(changed FALSE)
        foreach(header IN LISTS headers)
            foreach(included IN LISTS "includes_${header}")
                if(DEFINED "level_${included}" AND "${level_${included}}" GREATER "${level_${header}}")
                    set("level_${header}" "${level_${included}}")
                    set(changed TRUE)
                endif()
            endforeach()
        endforeach()
    endwhile()

    set(level_0 "")
    set(level_1 "")
    set(level_2 "")
    foreach(header IN LISTS headers)
        list(APPEND "level_${level_${header}}" "${root}/${header}")
    endforeach()
    set("${core}" "${level_0}" PARENT_SCOPE)
    set("${commutant}" "${level_1}" PARENT_SCOPE)
    set("${io}" "${level_2}" PARENT_SCOPE)
endfunction()
