import type { ExecutorContext, Task as NxTask, TaskGraph } from '@nx/devkit';
import { SlimGoError } from '../errors';
import { inParallel } from '../parallel';
import { formatError, runExecutor } from './report';
import { environmentOf } from './task-env';

/** One task of an executor: all that differs between one that runs by itself and one of many in a process. */
export interface Task<Options> {
  /** With the schema's defaults. */
  readonly options: Options;
  /** With project, target and configuration. */
  readonly context: ExecutorContext;
  /** In place of `process.env`: with the .env files of the project. */
  readonly env: NodeJS.ProcessEnv;
  /** What the task says, with the line's end. Default: to standard output. */
  readonly print: (text: string | Uint8Array, stream?: 'stdout' | 'stderr') => void;
  /** Says how far it is where what is printed is seen only at the end. Without the line's end; no part of the log. */
  readonly progress?: (line: string) => void;
}

/**
 * Does all of `tasks` and calls `done` once for each, with its error or without. What is thrown is the error of all that
 * were not done.
 */
export type Work<Options> = (
  tasks: readonly Task<Options>[],
  signal: AbortSignal,
  done: (task: Task<Options>, error?: unknown) => void,
) => Promise<void>;

/** Does the tasks one by one, `limit` at once. */
export function eachTask<Options>(
  tasks: readonly Task<Options>[],
  limit: number,
  done: Parameters<Work<Options>>[2],
  work: (task: Task<Options>) => Promise<void>,
): Promise<void> {
  return inParallel(tasks, limit, (task) =>
    work(task).then(
      () => done(task),
      (error) => done(task, error),
    ),
  );
}

/** The executor that does one task in its own process, printing as it goes. */
export function executorOf<Options>(
  work: Work<Options>,
): (options: Options, context: ExecutorContext) => Promise<{ success: boolean }> {
  return (options, context) =>
    runExecutor(async (signal) => {
      const failures: unknown[] = [];
      const task: Task<Options> = {
        options,
        context,
        env: process.env,
        print: printNow,
      };
      await work([task], signal, (_, error) => failures.push(error));
      const [failure] = failures;
      if (failure !== undefined) throw failure;
      return { success: failures.length > 0 };
    });
}

function printNow(text: string | Uint8Array, stream: 'stdout' | 'stderr' = 'stdout'): void {
  process[stream].write(text);
}

/** One of Nx's results, as soon as it is there. */
export interface BatchResult {
  readonly task: string;
  readonly result: {
    readonly success: boolean;
    readonly terminalOutput: string;
    readonly startTime: number;
    readonly endTime: number;
  };
}

/**
 * The batch implementation that does many tasks in one process. What a task prints is part of its result: Nx prints and
 * keeps that, and would print it twice if it were streamed. Only a task that is alone, and kept in no cache, prints as it
 * goes. A failure, and a bug, is that of its task alone.
 */
export function batchExecutorOf<Options>(
  work: Work<Options>,
): (
  graph: Pick<TaskGraph, 'tasks'>,
  inputs: Readonly<Record<string, Options>>,
  overrides: unknown,
  context: ExecutorContext,
) => AsyncGenerator<BatchResult, void> {
  return async function* batch({ tasks: members }, inputs, _overrides, context) {
    const startTime = Date.now();
    const results: BatchResult[] = [];
    let wake = (): void => {};
    const waiting = new Map<Task<Options>, (error?: unknown) => void>();
    const isLive = Object.values(members).every(({ cache }) => !cache) && Object.keys(members).length === 1;
    for (const [id, member] of Object.entries(members)) {
      const output: Uint8Array[] = [];
      const task: Task<Options> = {
        options: inputs[id]!,
        context: contextOf(member, context),
        env: environmentOf(member, context.root, process.env),
        ...(isLive
          ? { print: printNow }
          : {
              print: (text) => output.push(Buffer.from(text as Uint8Array)),
              progress: (line) => printNow(`${member.target.project}: ${line}\n`, 'stderr'),
            }),
      };
      waiting.set(task, (error) => {
        if (error !== undefined) task.print(describe(error), 'stderr');
        const terminalOutput = Buffer.concat(output).toString();
        results.push({
          task: id,
          result: { success: error === undefined, terminalOutput, startTime, endTime: Date.now() },
        });
        wake();
      });
    }
    let isRunning = true;
    const running = runExecutor(async (signal) => {
      const done = (task: Task<Options>, error?: unknown): void => {
        const finish = waiting.get(task);
        waiting.delete(task);
        finish?.(signal.aborted ? signal.reason : error);
      };
      let rest: unknown;
      try {
        await work([...waiting.keys()], signal, done);
      } catch (error) {
        rest = error;
      }
      for (const task of waiting.keys()) done(task, rest ?? new Error('The batch left this task out.'));
      return { success: true };
    }).finally(() => {
      isRunning = false;
      wake();
    });
    while (isRunning || results.length > 0) {
      const result = results.shift();
      if (result) yield result;
      else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
    await running;
  };
}

function contextOf({ target }: NxTask, context: ExecutorContext): ExecutorContext {
  const { project, target: targetName, configuration } = target;
  return {
    ...context,
    projectName: project,
    targetName,
    ...(configuration === undefined ? {} : { configurationName: configuration }),
  };
}

function describe(error: unknown): string {
  if (error instanceof SlimGoError) return formatError(error);
  return `${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`;
}
