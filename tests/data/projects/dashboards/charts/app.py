from dash import Dash, dcc, html

app = Dash(__name__)
server = app.server
app.layout = html.Div([html.H1("Charts"), dcc.Graph(figure={"data": [{"x": [1, 2], "y": [3, 1]}]})])

if __name__ == "__main__":
    app.run_server(host="0.0.0.0", port=8050, debug=False)
