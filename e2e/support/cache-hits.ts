/** What Nx says it did with each task: `hello:build` -> `{ build: true }` where it came from the cache. */
export function cacheHits(output: string): { readonly [target: string]: boolean } {
  const lines = output.matchAll(/^(?:> nx run|✔ {2}nx run|. {2}nx run) (\S+)(?: {2}(\[.*cache.*\]))?/gm);
  return Object.fromEntries([...lines].map(([, task, cached]) => [task!.split(':').pop()!, cached !== undefined]));
}
