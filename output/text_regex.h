/*
 * text_regex: does this text contain a match? Regular expressions in the syntax of RE2, which pprof
 * takes.
 *
 * Why not regcomp(3): the syntax differs (\d, (?i), (?:…)), and drop_frames comes with a profile
 * that a stranger may have written; libc's matcher can be made to run out of stack or of patience.
 * Here the expression becomes a list of instructions, at most REGEX_SIZE_MAX of them, all tried in
 * step, one character of the text at a time.
 *
 *     known      . [a-z] [[:alpha:]] \d \w \s \b ^ $ \A \z | * + ? {n,m} and lazy forms
 *                ( ) (?: ) (?P<name> ) (?i) (?s) (?m) (?U) \n \t \x41 \x{263a} \Q…\E
 *                (?i) folds ASCII letters
 *     refused    \pL and other Unicode classes; as in RE2, back references and look-around
 */
#pragma once

#include <stdbool.h>

#include "core/why.h"

#define REGEX_SIZE_MAX 10000

struct regex;

/* Returns 0, -EINVAL (@why says where and what) or -ENOMEM. */
int regex_create(struct regex **ret, const char *pattern, struct why *why);
void regex_destroy(struct regex *re); /* NULL is fine */
bool regex_is_match(struct regex *re, const char *text);
