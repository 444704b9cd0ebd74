/* JSON on standard output, piece by piece. */
#ifndef GYRE_EXPERIMENTS_JSON_H
#define GYRE_EXPERIMENTS_JSON_H

void gyre_json_text(const char *text);
void gyre_json_key(const char *key);                      /* `, "key": `; blanks of a label become underscores */
void gyre_json_pair(const char *key, const char *text);   /* `, "key": "text"` */
void gyre_json_number(const char *key, double value);     /* null where it is not finite */
void gyre_json_list(const char *key, const char *text);   /* "a, b" as ["a", "b"] */

#endif
