import { SlimGoError } from '../errors';
import type { ToolCall } from './tool';
import { goTooOld, moduleHint, runGo, tagFlags } from './toolchain';

export interface ResolvedGenerate {
  /** Absolute; names in output start here. */
  readonly moduleDir: string;
  /** `./apps/hello/...`: folders of the module, as the go command takes them. */
  readonly packages: readonly string[];
  readonly tags: readonly string[];
  /** More arguments of `go generate`, before the packages: `-run=stringer`. */
  readonly args: readonly string[];
}

/**
 * Runs the `//go:generate` lines of packages; shows each command and its file.
 * @throws GENERATE_FAILED, GO_TOO_OLD
 */
export async function goGenerate({ moduleDir, packages, tags, args }: ResolvedGenerate, call: ToolCall): Promise<void> {
  const flags = ['-v', '-x', ...tagFlags(tags)];
  const { exitCode, stderr } = await runGo(['generate', ...flags, ...args, ...packages], { ...call, cwd: moduleDir });
  if (exitCode === 0) return;
  throw (
    goTooOld(stderr, moduleDir) ??
    new SlimGoError('GENERATE_FAILED', `go generate failed (exit status ${exitCode}) in ${moduleDir}.`, {
      hint:
        moduleHint(stderr, moduleDir) ??
        (/executable file not found/.test(stderr)
          ? 'The program that the line names is not on PATH: install it, or write it into go.mod (go get -tool) and "go tool <name>" into the line.'
          : "go's own messages stand above; they name file and line."),
    })
  );
}
