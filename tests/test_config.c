/* experiments/config: every fault of the list with its place; points, overrides, canonical form. */
#define _POSIX_C_SOURCE 200809L
#include "tests/check.h"

#include <unistd.h>

#include "experiments/plan.h"

static const char good[] = "experiment: t\n"
                           "source: {capture: a.h5, layers: [0, 3]}\n"
                           "arms:\n"
                           "  identity: {k: {chain: [identity], quantizer: {sym: {bits: 4}}}}\n"
                           "  srft: {k: {chain: [srft], quantizer: {sym: {bits: 4, group: 32}}}}\n"
                           "  exact: {}\n"
                           "  both: {both: {chain: [hadamard], quantizer: f16}}\n"
                           "grid: {quantizer.bits: [3, 4], srft.quantizer.group: [row, 16]}\n"
                           "seeds: 5\n"
                           "metrics: [nmse, softmax_kl]\n"
                           "compare:\n"
                           "  - {arm: srft, against: identity, metric: nmse, margin: {ratio: 1.05}, alpha: 0.01, family: f}\n";

static char folder[] = "/tmp/gyre-config-XXXXXX";
static char path[64];

static int set_up(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)snprintf(path, sizeof path, "%s/c.yaml", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(folder);
}

static gyre_status load(const char *text, const char *const *sets, size_t n, gyre_config **c, char **report, gyre_error *error)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    (void)fputs(text, f);
    (void)fclose(f);
    return gyre_config_read(path, NULL, sets, n, c, report, error);
}

/* A size is its assignments, before those of --set; a wrong name and a list that is none are told. */
static void sizes(void **state)
{
    (void)state;
    static const char *const last[] = {"campaign_seed=9"};
    char text[2048];
    gyre_config *c;
    gyre_error error;
    (void)snprintf(text, sizeof text, "%ssizes:\n  smoke: [seeds=2, 'source.layers=[1]', campaign_seed=7]\n", good);
    CHECK_OK(load(text, NULL, 0, &c, NULL, &error), &error);
    assert_int_equal(c->seeds, 5);
    assert_string_equal(c->overrides, "");
    gyre_config_free(c);
    CHECK_OK(gyre_config_read(path, "smoke", last, 1, &c, NULL, &error), &error);
    assert_int_equal(c->seeds, 2);
    assert_int_equal(c->n_layers, 1);
    assert_int_equal(c->campaign_seed, 9);
    assert_string_equal(c->overrides, "seeds=2\nsource.layers=[1]\ncampaign_seed=7\ncampaign_seed=9\n"); /* what a run folder replays without the size */
    gyre_config_free(c);
    assert_int_equal(gyre_config_read(path, "smoky", NULL, 0, &c, NULL, &error), GYRE_E_CONFIG);
    assert_non_null(strstr(error.message, "smoky"));
    assert_non_null(strstr(error.message, "smoke"));
    (void)snprintf(text, sizeof text, "%ssizes: {smoke: [seeds]}\n", good);
    assert_int_equal(load(text, NULL, 0, &c, NULL, &error), GYRE_E_CONFIG);
    assert_non_null(strstr(error.message, "an assignment is wanted"));
}

static void a_good_one(void **state)
{
    (void)state;
    gyre_config *c;
    gyre_error error;
    CHECK_OK(load(good, NULL, 0, &c, NULL, &error), &error);
    assert_string_equal(c->experiment, "t");
    assert_int_equal(c->n_layers, 2);
    assert_int_equal(c->seeds, 5);
    /* identity: 2 points; srft: 2 x 2; exact: 1; both (f16 has no bits): 1 */
    static const char *const points[][2] = {{"identity", "bits=3"},       {"identity", "bits=4"},         {"srft", "bits=3,group=row"}, {"srft", "bits=3,group=16"},
                                            {"srft", "bits=4,group=row"}, {"srft", "bits=4,group=16"}, {"exact", ""},                {"both", ""}};
    assert_int_equal(c->n_points, 8);
    for (size_t i = 0; i < 8; i++) {
        assert_string_equal(c->points[i].arm.name, points[i][0]);
        assert_string_equal(c->points[i].point, points[i][1]);
        assert_int_equal(c->points[i].seeded, strcmp(points[i][0], "srft") == 0);
    }
    assert_true(c->points[7].arm.codes[0] && c->points[7].arm.codes[1] && !c->points[6].arm.codes[0]);
    char text[GYRE_CODEC_TEXT];
    gyre_codec_canonical(&c->points[3].arm.codec[0], text, sizeof text);
    assert_string_equal(text, "order=half_split;chain=[signs(per=layer),rfft];quantizer=sym(bits=3,group=16,scale=f32,rounding=half_even,levels=symmetric,clip=1,search=false,learn=false)");
    assert_true(c->compare[0].ratio && c->compare[0].margin == 1.05 && c->compare[0].alpha == 0.01);
    gyre_config_free(c);
}

/* Window and sink are options of a codec, and axes; 0 is not said, so that such a codec has the text of one without. */
static void windows(void **state)
{
    (void)state;
    static const char *const sets[] = {"arms.srft.k.window=16", "arms.srft.k.sink=4", "arms.identity.k.window=0", "grid={both.v.window: [0, 32]}"};
    static const char *const joint[] = {"arms.both={both: {quantizer: packkv, window: 16}}", "grid={v.window: [16, 8]}"};
    gyre_config *c;
    gyre_error error;
    char text[GYRE_CODEC_TEXT], *report;
    CHECK_OK(load(good, sets, 4, &c, NULL, &error), &error);
    assert_int_equal(c->n_points, 5); /* identity, srft, exact, both twice */
    gyre_codec_canonical(&c->points[1].arm.codec[0], text, sizeof text);
    assert_true(strncmp(text, "order=half_split;window=16;sink=4;chain=[signs", 46) == 0);
    gyre_codec_canonical(&c->points[0].arm.codec[0], text, sizeof text);
    assert_true(strncmp(text, "order=half_split;chain=[];quantizer=sym(", 40) == 0);
    assert_string_equal(c->points[4].point, "window=32");
    assert_true(c->points[4].arm.codec[1].own.window == 32 && c->points[4].arm.codec[0].own.window == 0 && c->points[3].arm.codec[1].own.window == 0);
    gyre_config_free(c);
    assert_int_equal(load(good, joint, 2, &c, &report, &error), GYRE_E_CONFIG);
    assert_non_null(strstr(report, "window and sink are 16 and 0 for K, 8 and 0 for V: give both streams the same, at window=8"));
    free(report);
}

/* Writing defaults out, or the order of keys, changes nothing that is hashed; a margin changes the analysis plan and the configuration alike. */
static void hashes(void **state)
{
    (void)state;
    gyre_config *c[3];
    gyre_error error;
    const char *const same[] = {"arms.identity.k.chain=[]", "arms.srft.k.quantizer={sym: {group: 32, scale: f32, bits: 4}}", "campaign_seed=0"};
    const char *const other[] = {"compare.0.margin={ratio: 1.06}"};
    CHECK_OK(load(good, NULL, 0, &c[0], NULL, &error), &error);
    CHECK_OK(load(good, same, 3, &c[1], NULL, &error), &error);
    CHECK_OK(load(good, other, 1, &c[2], NULL, &error), &error);
    assert_string_equal(c[0]->canonical, c[1]->canonical);
    assert_string_equal(c[0]->sha256, c[1]->sha256);
    assert_string_not_equal(c[0]->sha256, c[2]->sha256);
    assert_string_equal(c[0]->analysis_sha256, c[1]->analysis_sha256);
    assert_string_not_equal(c[0]->analysis_sha256, c[2]->analysis_sha256);
    for (size_t i = 0; i < 3; i++)
        gyre_config_free(c[i]);
}

/* What is not said is not in the plan, what is said is, and what others published and claim is not. */
static void judging(void **state)
{
    (void)state;
    static const struct {
        const char *set, *in_plan; /* NULL: the plan is the same */
    } rows[] = {
        {"compare.0.test=auto", NULL}, {"compare.0.goal=equivalent", NULL}, {"compare.0.correction=holm", NULL}, {"compare.0.published=x0.5", NULL}, {"pilot=p.h5", NULL},
        {"claim={id: c01, says: a, source: b, rule: c, open: [d, e], exact: [{arm: srft, quantity: compression, published: 3.5, digits: 1}]}", NULL},
        {"compare.0.test=sign_flip", " test=sign_flip\n"}, {"compare.0.goal=not_worse", " goal=not_worse\n"}, {"compare.0.predicts=[BETTER, EQUIVALENT]", " predicts=BETTER,EQUIVALENT\n"},
    };
    gyre_config *plain, *c;
    gyre_error error;
    CHECK_OK(load(good, NULL, 0, &plain, NULL, &error), &error);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *const set[] = {rows[i].set};
        CHECK_OK(load(good, set, 1, &c, NULL, &error), &error);
        if ((strcmp(c->analysis_sha256, plain->analysis_sha256) == 0) != (rows[i].in_plan == NULL) || (strcmp(c->sha256, plain->sha256) == 0) != (rows[i].in_plan == NULL)
            || (rows[i].in_plan != NULL && strstr(c->canonical, rows[i].in_plan) == NULL))
            fail_msg("%s: %s", rows[i].set, c->canonical);
        gyre_config_free(c);
    }
    const char *const claim[] = {rows[5].set};
    CHECK_OK(load(good, claim, 1, &c, NULL, &error), &error);
    assert_string_equal(c->claim.id, "c01");
    assert_true(c->claim.n_open == 2 && c->claim.n_exact == 1 && c->claim.exact[0].digits == 1 && c->claim.exact[0].point == NULL);
    gyre_config_free(c);
    gyre_config_free(plain);
}

/* One change at a time; each must name the place and the reason. */
static void bad_ones(void **state)
{
    (void)state;
    static const struct {
        const char *set, *says;
    } rows[] = {
        {"sead=3", "unknown key 'sead' (did you mean 'seeds'?)"},
        {"seeds=0", "seeds: '0' is not an integer in [1, 100000]"},
        {"seeds=4.5", "seeds: '4.5' is not an integer"},
        {"seeds=\"4\"", "seeds: the text \"4\" is not an integer"},
        {"seeds=[1]", "seeds: a plain value is wanted here, not a list [...]"},
        {"experiment=a/b", "a name has no slash"},
        {"source.capture=[]", "'capture' is missing"},
        {"source.layers=[x]", "source.layers: 'x' is not an integer"},
        {"source.leak=yes", "the only value is deliberate"},
        {"source={capture: a.h5, calibration: [d], evaluation: [d]}", "document 'd' both calibrates and is evaluated"},
        {"arms.srft.k.quantizer={sym: {bits: 4.5}}", "arms.srft.k.quantizer.sym.bits: '4.5' is not an integer in [2, 8]"},
        {"arms.srft.k.quantizer={sym: {bits: nan}}", "'nan' is not an integer"},
        {"arms.srft.k.quantizer={sym: {bits: 9}}", "'9' is not an integer in [2, 8]"},
        {"arms.srft.k.quantizer={sym: {}}", "'bits' is missing: width of a code"},
        {"arms.srft.k.quantizer={sim: {bits: 4}}", "unknown quantizer 'sim' (did you mean 'sym'?)"},
        {"arms.srft.k.quantizer={sym: {bits: 4, gruop: 2}}", "unknown key 'gruop' (did you mean 'group'?)"},
        {"arms.srft.k.chain=[sfrt]", "unknown transform 'sfrt' (did you mean 'srft'?)"},
        {"arms.srft.k.chain=[{srft: {per: head}}]", "'srft' is an alias and takes no options"},
        {"arms.srft.k.chain=[hadamard, unrope]", "the chain is ill-typed: unrope needs rows in frame post_rope, but here they are in frame mixed after hadamard"},
        {"arms.srft.k.chain=[{centre: {by: bias}}]", "the chain is ill-typed: centre(by=bias,per=head) needs rows in frame pre_rope"},
        {"arms.srft={both: {chain: [unrope], quantizer: f16}}", "the chain is ill-typed: unrope needs rows in frame post_rope, but here they are in frame value (values)"},
        {"arms.srft.k.order=native_", "arms.srft.k.order: 'native_' is not one of {half_split, native} (did you mean 'native'?)"},
        {"arms.srft.k.window=-1", "arms.srft.k.window: '-1' is not an integer in [0, 1048576]"},
        {"arms.srft.k.window=1.5", "arms.srft.k.window: '1.5' is not an integer"},
        {"arms.srft.k.window=\"16\"", "arms.srft.k.window: \"16\" is quoted text"},
        {"arms.srft.k.sink=[4]", "arms.srft.k.sink: a plain value is wanted here"},
        {"arms.srft.k.sinks=4", "unknown key 'sinks' (did you mean 'sink'?)"},
        {"arms.both={k: {quantizer: packkv, window: 16}, v: {quantizer: packkv, window: 16, sink: 4}}", "arms.both: packkv codes K and V together, and here window and sink are 16 and 0 for K, 16 and 4 for V"},
        {"grid={window: [0, -4]}", "'-4' is not an integer in [0, 1048576]"},
        {"arms.srft.both={quantizer: f16}", "'both' stands alone"},
        {"arms={}", "a map of arms is wanted"},
        {"source={capture: a.h5, validation: [d], evaluation: [d]}", "document 'd' both validates and is evaluated"},
        {"source={capture: a.h5, validation: [d], calibration: [d]}", "document 'd' both validates and calibrates"},
        {"fit={stepz: 3}", "fit: unknown key 'stepz' (did you mean 'steps'?)"},
        {"fit={steps: 0}", "fit.steps: '0' is not an integer in [1, 1000000]"},
        {"fit={steps: \"3\"}", "fit.steps: \"3\" is quoted text"},
        {"fit={objective: mze}", "fit.objective: unknown objective 'mze' (did you mean 'mse'?)"},
        {"fit={objective: {mse: {p: 8}}}", "fit.objective.mse: unknown key 'p'"},
        {"fit={optimiser: adan}", "fit.optimiser: unknown optimiser 'adan' (did you mean 'adam'?)"},
        {"fit={optimiser: {adam: {rate: -1}}}", "fit.optimiser.adam.rate: '-1' is not a finite number in [1e-09, 100]"},
        {"fit={leak: true}", "leak: true calibrates on the documents that are evaluated: say source.leak: deliberate too"},
        {"arms.srft.k.fit={steps: 10}", "arms.srft.k.fit: nothing to fit"},
        {"arms.identity.k.fit={draws: 2}", "arms.identity.k.fit: draws: the chain draws nothing at random"},
        {"arms.srft.k.fitted=nowhere.h5", "'nowhere.h5': a results file and what of it are wanted"},
        {"arms.srft.k.fitted=/nowhere/x.h5#a", "arms.srft.k.fitted: '/nowhere/x.h5' cannot be read: No such file"},
        {"arms.srft.k.fitted=README.md#a", "fitted: nothing of this codec is learned or drawn"},
        {"arms.srft.k.chain=[{householder: {learn: true}}, {scale: {by: max}}]", "scale is fitted in closed form and stands behind householder, which is learned: put it before"},
        {"arms.both.both.chain=[{householder: {learn: true}}]", "the objective mse needs a straight-through rule, and f16 has none"},
        {"arms.both={v: {chain: [{householder: {learn: true}}], quantizer: {sym: {bits: 4}}, fit: {objective: logit}}}", "arms.both.v.fit: the objective logit is not defined for values, at bits=3"},
        {"arms.both={v: {chain: [signs, {householder: {learn: true}}], quantizer: {sym: {bits: 4}}, fit: {draws: 3}}}", "draws choose among random elements and learn nothing"},
        {"grid={fit.stepz: [1]}", "grid.fit.stepz: unknown option of a fit 'stepz' (did you mean 'steps'?)"},
        {"grid={fit.steps: [10]}", "grid.fit.steps: it acts on no arm"},
        {"grid={identity.fit.draws: [1, 4]}", "grid.identity.fit.draws: it acts on no arm"},
        {"grid={fit.draws: [1, x]}", "'x' is not an integer in [1, 32000]"},
        {"grid={fit.objective: [mse]}", "grid.fit.objective: a map"},
        {"grid={fit.objective: {m: mze}}", "grid.fit.objective.m: unknown objective 'mze'"},
        {"grid={quantizer.bots: [3]}", "no arm has such an option"},
        {"grid={bits: [3]}", "'bits' names nothing"},
        {"grid={quantizer.bits: [3, 3]}", "the value 3 stands twice"},
        {"grid={quantizer.bits: [3, 12]}", "'12' is not an integer in [2, 8]"},
        {"grid={quantizer.bits: []}", "the list is empty"},
        {"grid={quantizer: {}}", "the map is empty"},
        {"grid={quantizer: [f16]}", "grid.quantizer: a map"},
        {"grid={quantizer: {a: sim}}", "grid.quantizer.a: unknown quantizer 'sim' (did you mean 'sym'?)"},
        {"grid={quantizer: {a b: f16}}", "the name of a grid value has letters, digits, - and _ only"},
        {"grid={chain: {a: [hadamard, unrope]}}", "in arm"},
        {"grid={quantizer: {a: f16}, quantizer.bits: [3]}", "'quantizer' replaces the whole quantizer: 'quantizer.bits' beside it would be lost"},
        {"grid={identity.k.chain: {a: [hadamard]}, chain.scale.per: [head]}", "'identity.k.chain' replaces the whole chain"},
        {"metrics=[mse]", "unknown metric 'mse' (did you mean 'nmse'?)"},
        {"metrics=[nmse, nmse]", "'nmse' stands twice"},
        {"metrics=[]", "a list of metrics is wanted"},
        {"compare.0.arm=srtf", "unknown arm 'srtf' (did you mean 'srft'?)"},
        {"compare.0.against=srft", "an arm is compared with itself"},
        {"source={capture: a.h5, evaluation: [d, e, d]}", "document 'd' stands twice: it would count twice"},
        {"compare.0.against=exact", "nmse is not defined for arm 'exact', which codes nothing"},
        {"compare.0.metric=flip", "'flip' is not among this configuration's metrics"},
        {"compare.0.margin={ratio: 1}", "a margin of nothing can never be met"},
        {"compare.0.margin={ratio: 1.05, abs: 1}", "either {ratio: r} with r > 1 or {abs: a}"},
        {"compare.0.margin={ratio: inf}", "'inf' is not a finite number"},
        {"compare.0.alpha=0.7", "'0.7' is not a finite number in [0, 0.5]"},
        {"compare=[{arm: srft, against: identity, metric: nmse}, {arm: srft, against: both, metric: nmse, alpha: 0.01}]", "family 'main' has two values of alpha"},
        {"compare=[{arm: srft, against: identity, metric: nmse}, {arm: srft, against: both, metric: nmse, correction: by}]", "family 'main' has two corrections, holm and by"},
        {"compare.0.test=wilcoxen", "unknown test 'wilcoxen' (did you mean 'wilcoxon'?): one of {auto, paired_t, crossed,"},
        {"compare.0.goal=equal", "unknown goal 'equal'"},
        {"compare.0.correction=bonferroni", "unknown correction 'bonferroni': one of {holm, bh, by}"},
        {"compare=[{arm: srft, against: identity, metric: nmse, goal: not_worse}]", "not_worse needs a margin"},
        {"compare.0.predicts=SAME", "unknown verdict 'SAME': one of {EQUIVALENT, BETTER, WORSE, NOT_WORSE, INCONCLUSIVE}"},
        {"compare.0.predicts=[BETTER, BETTER]", "'BETTER' stands twice"},
        {"compare.0.predicts=[]", "the list is empty"},
        {"compare.0.predicts=NOT_WORSE", "NOT_WORSE cannot come out: say goal: not_worse"},
        {"compare=[{arm: srft, against: identity, metric: nmse, predicts: EQUIVALENT}]", "EQUIVALENT cannot come out: there is no margin"},
        {"claim={says: a, source: b, rule: c}", "'id' is missing"},
        {"claim={id: c01, source: b, rule: c}", "'says' is missing"},
        {"claim={id: c01, says: '', source: b, rule: c}", "claim.says: the text is empty"},
        {"claim={id: c01, says: a, source: b, rule: c, opens: d}", "unknown key 'opens' (did you mean 'open'?)"},
        {"claim={id: c01, says: a, source: b, rule: c, exact: [{quantity: total_bits, published: 4.25, digits: 2}]}", "claim.exact[0]: 'arm' is missing"},
        {"claim={id: c01, says: a, source: b, rule: c, exact: [{arm: srft, published: 4.25, digits: 2}]}", "claim.exact[0]: 'quantity' is missing"},
        {"claim={id: c01, says: a, source: b, rule: c, exact: [{arm: srft, point: bits=99, quantity: total_bits, published: 4.25, digits: 2}]}", "arm 'srft' has no point 'bits=99'"},
        {"claim={id: c01, says: a, source: b, rule: c, exact: [{arm: srft, quantity: total_bits, published: 4.25, digits: 13}]}", "'13' is not an integer in [0, 12]"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        gyre_config *c;
        gyre_error error;
        char *report = NULL;
        const char *sets[] = {rows[i].set};
        assert_int_equal(load(good, sets, 1, &c, &report, &error), GYRE_E_CONFIG);
        if (report == NULL || strstr(report, rows[i].says) == NULL)
            fail_msg("--set %s gave\n%s\nnot '%s'", rows[i].set, report != NULL ? report : error.message, rows[i].says);
        assert_null(c);
        free(report);
    }
}

/* Whole quantizers and chains as values of the grid; points are named by the values' names. */
static void whole_parts(void **state)
{
    (void)state;
    gyre_config *c;
    gyre_error error;
    const char *const sets[] = {"grid={identity.chain: {plain: [], turned: [hadamard]}, k.quantizer: {four: {sym: {bits: 4}}, half: f16}}", "arms.exact={v: {chain: [], quantizer: f16}}"};
    CHECK_OK(load(good, sets, 2, &c, NULL, &error), &error);
    static const char *const points[][3] = {{"identity", "chain=plain,quantizer=four", "order=half_split;chain=[];quantizer=sym("},
                                            {"identity", "chain=plain,quantizer=half", "order=half_split;chain=[];quantizer=f16"},
                                            {"identity", "chain=turned,quantizer=four", "order=half_split;chain=[hadamard(form=sylvester)];quantizer=sym("},
                                            {"identity", "chain=turned,quantizer=half", "order=half_split;chain=[hadamard(form=sylvester)];quantizer=f16"},
                                            {"srft", "quantizer=four", "order=half_split;chain=[signs(per=layer),rfft];quantizer=sym("}};
    for (size_t i = 0; i < 5; i++) {
        char text[GYRE_CODEC_TEXT];
        assert_string_equal(c->points[i].arm.name, points[i][0]);
        assert_string_equal(c->points[i].point, points[i][1]);
        gyre_codec_canonical(&c->points[i].arm.codec[0], text, sizeof text);
        assert_memory_equal(text, points[i][2], strlen(points[i][2]));
    }
    for (size_t i = 0; i < c->n_points; i++) /* no K there: the axis does not act */
        if (strcmp(c->points[i].arm.name, "exact") == 0)
            assert_string_equal(c->points[i].point, "");
    gyre_config_free(c);
}

/* A codec's block over the top-level one, key by key; only what acts is in the text of a codec. */
static void fits(void **state)
{
    (void)state;
    gyre_config *c;
    gyre_error error;
    static const char text[] = "experiment: t\nsource: {capture: a.h5}\nfit: {steps: 20, objective: logit, optimiser: {sgd: {rate: 0.5}}, tokens: 100}\narms:\n"
                               "  own: {k: {chain: [{householder: {k: 2, learn: true}}], quantizer: {sym: {bits: 4}}, fit: {steps: 30, objective: mse}}}\n"
                               "  all: {k: {chain: [{scale: {by: one, learn: true}}], quantizer: {sym: {bits: 4}}, fit: {batch: all}}}\n"
                               "  drawn: {k: {chain: [srht], quantizer: {sym: {bits: 4}}, fit: {draws: 5}}}\n"
                               "  rows: {v: {chain: [{scale: {by: max}}], quantizer: {sym: {bits: 4}}}}\n"
                               "  plain: {v: {chain: [srht], quantizer: {sym: {bits: 4}}}}\n"
                               "metrics: [nmse]\n";
    static const char *const fit[] = {
        "objective=mse(),optimiser=sgd(rate=0.5,momentum=0),steps=30,batch=1024,tokens=100,restarts=1,draws=1,every=10,patience=off,rule=scale,schedule=cosine,keep=best,leak=false",
        "objective=logit(),optimiser=sgd(rate=0.5,momentum=0),steps=20,batch=all,tokens=100,restarts=1,draws=1,every=10,patience=off,rule=scale,schedule=cosine,keep=best,leak=false",
        "objective=logit(),optimiser=adam(rate=0.01,beta1=0.90000000000000002,beta2=0.999,epsilon=1e-08),steps=300,batch=1024,tokens=100,restarts=1,draws=5,every=10,patience=off,rule=scale,"
        "schedule=cosine,keep=best,leak=false",
        "tokens=100",
        NULL,
    };
    CHECK_OK(load(text, NULL, 0, &c, NULL, &error), &error);
    assert_int_equal(c->n_points, 5);
    for (size_t i = 0; i < 5; i++) {
        char canonical[GYRE_ARM_TEXT];
        gyre_arm_canonical(&c->points[i].arm, i < 3 ? GYRE_K : GYRE_V, canonical, sizeof canonical);
        const char *mark = strstr(canonical, ";fit=");
        assert_int_equal(mark != NULL, fit[i] != NULL);
        if (mark != NULL)
            assert_string_equal(mark + strlen(";fit="), fit[i]);
        assert_int_equal(gyre_arm_learns(&c->points[i].arm), i < 2);
    }
    assert_true(c->points[0].seeded && c->points[2].seeded && !c->points[3].seeded && c->points[4].seeded);
    gyre_config_free(c);
}

/* Axes over fits multiply the points on which they act, and no others. */
static void grids_of_fits(void **state)
{
    (void)state;
    gyre_config *c;
    gyre_error error;
    static const char text[] = "experiment: t\nsource: {capture: a.h5, leak: deliberate}\narms:\n"
                               "  a: {k: {chain: [], quantizer: {sym: {bits: 4}}}}\n  scaled: {v: {chain: [{scale: {by: max}}], quantizer: {sym: {bits: 4}}}}\n"
                               "grid:\n  a.chain: {plain: [], drawn: [srht], learned: [{householder: {k: 2, learn: true}}]}\n  fit.steps: [10, 20]\n  fit.objective: {m: mse, l: logit}\n"
                               "  fit.optimiser.rate: [0.1]\n  fit.leak: [false, true]\nmetrics: [nmse]\n";
    static const char *const points[] = {
        "a chain=plain",
        "a chain=drawn",
        "a chain=learned,steps=10,objective=m,rate=0.1,leak=false",
        "a chain=learned,steps=10,objective=m,rate=0.1,leak=true",
        "a chain=learned,steps=10,objective=l,rate=0.1,leak=false",
        "a chain=learned,steps=10,objective=l,rate=0.1,leak=true",
        "a chain=learned,steps=20,objective=m,rate=0.1,leak=false",
        "a chain=learned,steps=20,objective=m,rate=0.1,leak=true",
        "a chain=learned,steps=20,objective=l,rate=0.1,leak=false",
        "a chain=learned,steps=20,objective=l,rate=0.1,leak=true",
        "scaled leak=false",
        "scaled leak=true",
    };
    CHECK_OK(load(text, NULL, 0, &c, NULL, &error), &error);
    assert_int_equal(c->n_points, sizeof points / sizeof *points);
    for (size_t i = 0; i < c->n_points; i++) {
        char name[GYRE_OPTION_TEXT + 64];
        (void)snprintf(name, sizeof name, "%s %s", c->points[i].arm.name, c->points[i].point);
        assert_string_equal(name, points[i]);
    }
    assert_true(c->points[6].arm.fit[GYRE_K].own.steps == 20 && strcmp(c->points[8].arm.fit[GYRE_K].objective->name, "logit") == 0 && c->points[11].arm.fit[GYRE_V].own.leak);
    gyre_config_free(c);
}

/* Documents of each use on a shipped capture of 16: a learning arm takes the last quarter of the calibration documents for validation, and none is used twice. */
static void splits(void **state)
{
    (void)state;
    static const char text[] = "experiment: t\nsource: {capture: data/smollm2-135m.h5, layers: [0]}\nfit: {batch: all}\narms:\n"
                               "  plain: {k: {quantizer: {sym: {bits: 4}}}}\n  other: {k: {chain: [{householder: {k: 2, learn: false}}], quantizer: {sym: {bits: 4}}}}\nmetrics: [nmse]\n";
    static const struct {
        const char *learn, *source;
        size_t calibration, validation, evaluation;
    } rows[] = {
        {"false", "source.leak=deliberate", 4, 0, 12},
        {"true", "source.leak=deliberate", 3, 1, 12},
        {"true", "source.validation=[VALIDATION]", 3, 1, 12},
        {"false", "source.validation=[VALIDATION]", 3, 1, 12},
    };
    gyre_search search = {{(char *)(uintptr_t)GYRE_SOURCE_DIR}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        gyre_config *c;
        gyre_plan *plan;
        gyre_error error;
        char learn[64], source[128];
        (void)snprintf(learn, sizeof learn, "arms.other.k.chain=[{householder: {k: 2, learn: %s}}]", rows[i].learn);
        const char *sets[] = {learn, "experiment=u"};
        CHECK_OK(load(text, sets, 2, &c, NULL, &error), &error); /* to learn a name of a document */
        CHECK_OK(gyre_plan_make(c, &search, &plan, &error), &error);
        (void)snprintf(source, sizeof source, "%s", rows[i].source);
        if (strstr(source, "VALIDATION") != NULL)
            (void)snprintf(source, sizeof source, "source.validation=[%.80s]", plan->table->sources[0].calibration[1]);
        gyre_plan_free(plan);
        gyre_config_free(c);
        sets[1] = source;
        CHECK_OK(load(text, sets, 2, &c, NULL, &error), &error);
        CHECK_OK(gyre_plan_make(c, &search, &plan, &error), &error);
        const gyre_source *s = &plan->table->sources[0];
        assert_int_equal(s->n_calibration, rows[i].calibration);
        assert_int_equal(s->n_validation, rows[i].validation);
        assert_int_equal(s->n_documents, rows[i].evaluation);
        unsigned used[16] = {0};
        for (int u = 0; u < GYRE_USES; u++)
            for (size_t d = 0; d < plan->sources[0].split.use[u].count; d++)
                used[plan->sources[0].split.use[u].index[d]]++;
        for (size_t d = 0; d < 16; d++)
            assert_int_equal(used[d], 1);
        gyre_plan_free(plan);
        gyre_config_free(c);
    }
}

/* An option may change the frame that an element takes or leaves: every value of its axis is checked in the arm's chain. */
static void options_keep_the_frames(void **state)
{
    (void)state;
    gyre_config *c = NULL;
    gyre_error error;
    char *report = NULL;
    const char *sets[] = {"arms.srft.k.chain=[{centre: {by: mean}}, srft]", "grid={chain.centre.by: [mean, bias]}"};
    assert_int_equal(load(good, sets, 2, &c, &report, &error), GYRE_E_CONFIG);
    assert_non_null(report);
    assert_non_null(strstr(report, "grid.chain.centre.by: centre(by=bias,per=head) needs rows in frame pre_rope, but here they are in frame post_rope (keys), in arm srft"));
    free(report);
    sets[0] = "arms.srft.k.chain=[unrope, {centre: {by: mean}}, srft]";
    CHECK_OK(load(good, sets, 2, &c, NULL, &error), &error);
    gyre_config_free(c);
}

/* Axes that end in the same word are told apart by more of their paths. */
static void labels(void **state)
{
    (void)state;
    gyre_config *c;
    gyre_error error;
    const char *sets[] = {"arms={a: {k: {quantizer: {sym: {bits: 4}}}, v: {quantizer: {sym: {bits: 4}}}}}", "grid={k.quantizer.bits: [3, 4], v.quantizer.bits: [3, 4], order: [native]}",
                          "compare=[]"};
    CHECK_OK(load(good, sets, 3, &c, NULL, &error), &error);
    assert_int_equal(c->n_points, 4);
    assert_string_equal(c->points[1].point, "k.quantizer.bits=3,v.quantizer.bits=4,order=native");
    gyre_config_free(c);
}

/* Comparisons of a plan on a shipped capture, by configuration: both ways round, and none in common. */
static void comparisons_are_never_dropped(void **state)
{
    (void)state;
    static const char text[] = "experiment: t\nsource: {capture: data/smollm2-135m.h5, layers: [0]}\narms:\n"
                               "  half: {k: {quantizer: f16}}\n  four: {k: {quantizer: {sym: {bits: 4}}}}\n  more: {k: {quantizer: {asym: {bits: 4}}}}\n"
                               "grid: {quantizer.bits: [3, 4], more.quantizer.scale: [f32, f16]}\nmetrics: [nmse]\ncompare:\n  - {arm: half, against: four, metric: nmse}\n";
    static const struct {
        const char *set;
        size_t count;
        const char *first;
    } rows[] = {
        {"compare.0={arm: half, against: four, metric: nmse}", 2, "bits=3"},
        {"compare.0={arm: four, against: half, metric: nmse}", 2, "bits=3"},
        {"compare.0={arm: four, against: more, metric: nmse}", 4, "bits=3,scale=f32"},
        {"compare.0={arm: more, against: four, metric: nmse}", 4, "bits=3,scale=f32"},
        {"grid={four.quantizer.bits: [3], more.quantizer.bits: [4]}", 1, "four.quantizer.bits=3"},
    };
    gyre_search search = {{(char *)(uintptr_t)GYRE_SOURCE_DIR}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        gyre_config *c;
        gyre_plan *plan;
        gyre_error error;
        const char *sets[] = {rows[i].set};
        CHECK_OK(load(text, sets, 1, &c, NULL, &error), &error);
        CHECK_OK(gyre_plan_make(c, &search, &plan, &error), &error);
        assert_int_equal(plan->table->n_comparisons, rows[i].count);
        assert_string_equal(plan->table->comparisons[0].point, rows[i].first);
        gyre_plan_free(plan);
        gyre_config_free(c);
    }
    static const char *const refused[][2] = {
        {"grid={four.order: [native], more.order: [half_split]}", "compare[0]: four and more have no grid point in common"},
        {"source.capture=[data/smollm2-135m.h5, data/smollm2-135m.h5]", "hold the same data: comparisons would count it twice"},
    };
    for (size_t i = 0; i < 2; i++) {
        gyre_config *c;
        gyre_plan *plan;
        gyre_error error;
        const char *sets[] = {refused[i][0], "compare.0={arm: four, against: more, metric: nmse}"};
        CHECK_OK(load(text, sets, 2, &c, NULL, &error), &error);
        assert_int_equal(gyre_plan_make(c, &search, &plan, &error), GYRE_E_CONFIG);
        if (strstr(error.message, refused[i][1]) == NULL)
            fail_msg("'%s' is not in '%s'", refused[i][1], error.message);
        gyre_config_free(c);
    }
}

/* Several faults in a file: all in one run, with line and column. */
static void all_at_once(void **state)
{
    (void)state;
    gyre_config *c;
    gyre_error error;
    char *report = NULL;
    assert_int_equal(load("experiment: t\nsource: {capture: a.h5}\narms:\n  a: {k: {chain: [sfrt], quantizer: {sym: {bits: 4.5}}}}\nseedz: 3\nmetrics: [nmse]\n", NULL, 0, &c,
                          &report, &error),
                     GYRE_E_CONFIG);
    static const char *const says[] = {"c.yaml:5:1: error: unknown key 'seedz' (did you mean 'seeds'?)", "c.yaml:4:19: error: arms.a.k.chain: unknown transform 'sfrt'",
                                       "c.yaml:4:50: error: arms.a.k.quantizer.sym.bits: '4.5'", "     5 | seedz: 3\n       | ^\n"};
    for (size_t i = 0; i < sizeof says / sizeof *says; i++)
        if (strstr(report, says[i]) == NULL)
            fail_msg("'%s' is not in\n%s", says[i], report);
    free(report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_good_one), cmocka_unit_test(hashes), cmocka_unit_test(whole_parts), cmocka_unit_test(options_keep_the_frames), cmocka_unit_test(judging), cmocka_unit_test(bad_ones),
                                       cmocka_unit_test(all_at_once), cmocka_unit_test(labels), cmocka_unit_test(fits), cmocka_unit_test(grids_of_fits),
                                       cmocka_unit_test(splits), cmocka_unit_test(windows), cmocka_unit_test(sizes), cmocka_unit_test(comparisons_are_never_dropped)};
    return cmocka_run_group_tests_name("config", tests, set_up, tear_down);
}
