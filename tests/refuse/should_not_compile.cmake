# SPDX-FileCopyrightText: The commutant authors
# SPDX-License-Identifier: Apache-2.0

# Compiles SOURCE with COMMUTANT_REFUSE defined and prints the compiler's text if, and only if, it does not compile.
# Printing is all: CTest matches the text, and what compiles or crashes leaves nothing to match.
set(ENV{LC_ALL} C)
execute_process(
    COMMAND "${COMPILER}" "@${FLAGS_FILE}" -DCOMMUTANT_REFUSE "${SOURCE}"
    OUTPUT_VARIABLE text
    ERROR_VARIABLE text
    RESULT_VARIABLE result
)
if(NOT result EQUAL 1)
    message(FATAL_ERROR "the compiler should have refused this file with exit status 1, but it ended with: ${result}")
endif()
message("${text}")
