/* Generated from schema.json by `npm run generate`. */

/**
 * Runs the project's tests with `go test`: a line for each package, then what failed. Arguments that are no options of this target go to `go test`.
 */
export interface TestOptions {
  /**
   * Package patterns as `go test` takes them, from the project's folder.
   */
  packages?: string[];
  /**
   * Only the tests and examples whose name matches this regular expression.
   */
  run?: string;
  /**
   * Not the tests whose name matches this regular expression.
   */
  skip?: string;
  /**
   * Show everything while it happens, as `go test -v` does. On the command line `-- -v`, for `--verbose` is Nx's own.
   */
  verbose?: boolean;
  /**
   * Look for data races (`-race`). Turns cgo on, so a C compiler must be there.
   */
  race?: boolean;
  /**
   * Tell long tests to be short (`testing.Short()`).
   */
  short?: boolean;
  /**
   * Start no test after the first that failed.
   */
  failFast?: boolean;
  /**
   * How often each test runs; with 1 too, go's own cache is not asked. Nx's is, unless `--skip-nx-cache` is given.
   */
  count?: number;
  /**
   * How long the tests of one package may take before they are killed with a trace of all goroutines. Go's default: `10m`.
   */
  timeout?: string;
  /**
   * Run tests in random order. A failed package shows the seed, which is the value that repeats the order.
   */
  shuffle?: boolean | string;
  /**
   * How many tests that call `t.Parallel` run at once in a package. On the command line behind `--`, for Nx has an option of this name.
   */
  parallel?: number;
  /**
   * Build tags (`go test -tags`). They replace those of GOFLAGS.
   */
  buildTags?: string[];
  /**
   * Say how many of the statements the tests run. Any of the following options turns it on.
   */
  cover?: boolean;
  /**
   * Fail where the tests run less than this percentage of the project's statements.
   */
  coverThreshold?: number;
  /**
   * File for Go's cover profile, relative to the workspace root.
   */
  coverProfile?: string;
  /**
   * File for the sources as HTML, coloured by what ran, relative to the workspace root.
   */
  coverHtml?: string;
  /**
   * File for the coverage in the format of lcov, relative to the workspace root.
   */
  coverLcov?: string;
  /**
   * Packages whose statements count, from the project's folder. By default each package's tests count for that package alone.
   */
  coverPkg?: string[];
  /**
   * What is counted: whether a statement ran, how often, or that exactly also with goroutines. Default: `set`, with `race` `atomic`.
   */
  coverMode?: 'set' | 'count' | 'atomic';
  /**
   * File for a JUnit report, which CI servers read, relative to the workspace root. Also written where tests fail.
   */
  junit?: string;
  /**
   * Run the benchmarks that match this regular expression, after the tests. Only in a target that is not cached, as `bench`.
   */
  bench?: string;
  /**
   * Run the one fuzz test that matches this regular expression, in the one package that `packages` names. Only in a target that is not cached, as `fuzz`.
   */
  fuzz?: string;
  /**
   * How long to fuzz, or with `x` how many inputs. Go's default: until something fails.
   */
  fuzzTime?: string;
  /**
   * Environment variables for `go test` and the tests.
   */
  env?: {
    [k: string]: string;
  };
  /**
   * More arguments for `go test`, behind the packages and before those of the command line: flags of it, or of the tests.
   */
  args?: string[];
  /**
   * What the command line says behind the target.
   */
  __unparsed__?: string[];
}
