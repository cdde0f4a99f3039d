import { posix } from 'node:path';
import { SlimGoError } from '../errors';
import { enclosingModule } from '../go/build';
import type { ToolCall } from '../go/tool';
import { type CurrentProject, patternInModule } from './project';
import { eachTask, executorOf, type Task } from './task';

/** An executor that runs a tool for one project: what the tool prints is shown as it comes. */
export function toolExecutorOf<Options>(work: (task: Task<Options>, call: ToolCall) => Promise<void>) {
  return executorOf<Options>((tasks, signal, done) =>
    eachTask(tasks, 1, done, async (task) => {
      const lines = new WholeLines(task.print);
      const onStep = (step: string): void => task.print(`${step}\n`);
      const call: ToolCall = { signal, processEnv: task.env, onOutput: (...piece) => lines.add(...piece), onStep };
      await work(task, call).finally(() => lines.end());
    }),
  );
}

/** Prints what comes in pieces by whole lines: Nx makes a line of each piece that it gets. */
export class WholeLines {
  private readonly unfinished = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };

  constructor(private readonly print: Task<unknown>['print']) {}

  add(piece: Buffer, stream: 'stdout' | 'stderr'): void {
    const text = Buffer.concat([this.unfinished[stream], piece]);
    const end = text.lastIndexOf('\n') + 1;
    if (end > 0) this.print(text.subarray(0, end), stream);
    this.unfinished[stream] = text.subarray(end);
  }

  /** Prints what came without the end of its line. */
  end(): void {
    for (const stream of ['stdout', 'stderr'] as const) {
      if (this.unfinished[stream].length > 0) this.add(Buffer.from('\n'), stream);
    }
  }
}

/**
 * The module that a project belongs to, and packages of the project as the go command is told them there.
 * @param patterns from the project's root: `./...`, `./internal/x`
 * @throws GO_FILE_INVALID where there is no go.mod; OPTION_INVALID for what is not in the project
 */
export function modulePackages(
  project: CurrentProject,
  patterns: readonly string[],
): { readonly moduleDir: string; readonly packages: readonly string[] } {
  const { dir: moduleDir } = enclosingModule(project.folder);
  const packages = patterns.map((pattern) => {
    const path = posix.normalize(pattern.replaceAll('\\', '/'));
    if (!/^\.[/\\]|^\.$/.test(pattern) || /^\.\.(\/|$)/.test(path)) {
      throw new SlimGoError('OPTION_INVALID', `packages: "${pattern}" is no folder of the project.`, {
        hint: 'Write it from the project on, with a dot: "./...", "./internal/x".',
      });
    }
    return patternInModule(moduleDir, project, path);
  });
  return { moduleDir, packages };
}
