FROM node:24-slim

ENV NODE_ENV=production \
    GATHERD_HOST=0.0.0.0 \
    GATHERD_DATA_DIR=/data
WORKDIR /app

COPY package.json package-lock.json .npmrc ./
RUN --mount=type=cache,target=/root/.npm npm ci --omit=dev

COPY LICENSE openapi.yaml ./
COPY routes routes
COPY src src

RUN mkdir -p /data && chown node:node /data
VOLUME /data
USER node
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
    CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.GATHERD_PORT ?? 3000}/livez`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]

# The exec form: node is process 1 and gets the signals itself.
CMD ["node", "src/main.ts", "serve"]
